"""Weights in four bits, activations in eight: what is stored, how far it errs, and what is left alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from models.compress import parse
from models.compress.packing import fp8_rows
from models.compress.weights import int4fp8


def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    return LlamaForCausalLM(LlamaConfig(vocab_size=40, num_key_value_heads=2, **sizes)).eval()


def layer(inputs: int = 256, outputs: int = 24) -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(inputs, outputs)


def test_every_code_reads_back_and_errs_by_half_a_step():
    weight = torch.arange(-7.0, 8).repeat(2, 2)[:, :28] * 0.5
    weight[:, 0] = -3.5
    assert torch.equal(int4fp8.dequantise(*int4fp8.quantise(weight, 14)), weight)
    drawn = layer().weight.detach()
    codes, steps = int4fp8.quantise(drawn, 64)
    apart = (int4fp8.dequantise(codes, steps) - drawn).abs()
    assert (apart <= 0.5 * steps.float().repeat_interleave(64, 1) * 1.001).all()


def test_a_token_is_rounded_by_its_own_size():
    states = torch.randn(3, 64, generator=torch.manual_seed(2)) * torch.tensor([[1e-3], [1.0], [1e3]])
    codes, scale = fp8_rows(states)
    read = codes.float() * scale
    assert ((read - states).abs() <= states.abs() * 2**-4 + scale * 2**-10).all()
    assert torch.equal(fp8_rows(states[1:2])[0].float(), codes[1:2].float())


def test_a_layer_stays_close_and_takes_a_seventh_of_fp32():
    plain = layer()
    ours = int4fp8.Int4Fp8Linear(plain, 128)
    states = torch.randn(5, 256, generator=torch.manual_seed(3))
    signal = plain(states) - plain.bias
    assert (ours(states) - plain(states)).norm() < 0.15 * signal.norm()
    assert ours.weight_bytes * 7 < plain.weight.numel() * 4
    weights_alone = int4fp8.Int4Fp8Linear(plain, 128, activations=False)
    exact = nn.functional.linear(states, int4fp8.dequantise(ours.codes, ours.steps), plain.bias)
    assert torch.equal(weights_alone(states), exact)


def test_blocks_are_converted_and_embeddings_and_head_are_not():
    changed, step = model(), parse("int4fp8 group=16")
    step.method.load()(changed, step)
    kinds = {name: type(each) for name, each in changed.named_modules()}
    assert sum(kind is int4fp8.Int4Fp8Linear for kind in kinds.values()) == 2 * 7
    assert kinds["lm_head"] is nn.Linear
    words = torch.arange(6)[None]
    with torch.inference_mode():
        close = nn.functional.cosine_similarity(changed(words).logits, model()(words).logits, dim=-1)
    assert close.min() > 0.9


def test_groups_that_do_not_fill_a_layer_are_refused_by_its_name():
    step = parse("int4fp8 group=24")
    with pytest.raises(ValueError, match="q_proj: groups of 24"):
        step.method.load()(model(), step)
    with pytest.raises(ValueError, match="no linear layers"):
        step.method.load()(nn.Linear(4, 4), step)


def test_without_torchao_its_methods_say_how_to_get_it(monkeypatch):
    from models.compress.weights import torchao

    monkeypatch.setattr(torchao, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="torchao_int8: torchao is not installed"):
        torchao.int8(model(), parse("torchao_int8"))
    monkeypatch.setattr(torchao, "find_spec", lambda name: object())
    monkeypatch.setattr(torchao, "_multiplies_fp8", lambda: False)
    with pytest.raises(ValueError, match="use kind=weights"):
        torchao.fp8(model(), parse("torchao_fp8 kind=dynamic"))

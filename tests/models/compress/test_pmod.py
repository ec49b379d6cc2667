"""p-MoD on a tiny Llama: when it changes nothing, what it keeps, and batches of unequal pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from models.compress import pmod

LAYERS = 4


def decoder() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    model = LlamaForCausalLM(config).train(False)
    for each in model.parameters():
        each.data *= 4  # so that a random model's answer depends on its prompt
    return model


def say(model: LlamaForCausalLM, words: torch.Tensor, seen: pmod.Seen, visual: torch.Tensor) -> torch.Tensor:
    """Logits of the prompt's last and of four more words, greedily."""
    with torch.inference_mode():
        with pmod.showing(seen, visual):
            output = model(words, use_cache=True)
        said = [output.logits[:, -1]]
        for _ in range(4):
            word = said[-1].argmax(-1, keepdim=True)
            output = model(word, past_key_values=output.past_key_values, use_cache=True)
            said.append(output.logits[:, -1])
    return torch.stack(said, dim=1)


@pytest.fixture(scope="module")
def prompt() -> tuple[torch.Tensor, torch.Tensor]:
    words = torch.randint(0, 40, (2, 14), generator=torch.manual_seed(1))
    visual = torch.zeros(2, 14, dtype=torch.bool)
    visual[:, 3:12] = True
    return words, visual


def test_the_published_schedule_and_its_mean():
    shares = pmod.ratios(32)
    assert shares[:8] == [1.0] * 8 and shares[24:] == [0.15] * 8
    assert shares[8] == pytest.approx(0.844, abs=1e-3) and shares[23] == pytest.approx(0.156, abs=1e-3)
    assert np.mean(shares) == pytest.approx(0.5375, abs=1e-4)
    assert pmod.ratios(1) == [1.0] and pmod.ratios(3) == [1.0, 0.5, 0.15]


def test_at_full_share_with_untrained_routers_nothing_changes(prompt):
    words, visual = prompt
    plain, mixed = decoder(), decoder()
    seen = pmod.wrap(mixed.model.layers, 32, [1.0] * LAYERS, always=True)
    assert torch.equal(say(mixed, words, seen, visual), say(plain, words, pmod.Seen(), visual))


def test_a_layers_cache_holds_text_and_its_share_of_the_picture(prompt):
    words, visual = prompt
    model, shares = decoder(), pmod.ratios(LAYERS)
    seen = pmod.wrap(model.model.layers, 32, shares)
    with torch.inference_mode(), pmod.showing(seen, visual):
        cache = model(words, use_cache=True).past_key_values
    lengths = [layer.keys.shape[2] for layer in cache.layers]
    assert lengths == [5 + int(share * 9) for share in shares]
    entries = pmod.account(shares, text=5, visual=9, width=32, inner=48, queries=32, keys=16).entries
    assert entries == sum(lengths)


def test_tokens_passed_by_are_scaled_and_with_weight_one_untouched():
    model = decoder()
    seen = pmod.Seen(visual=torch.tensor([[False, True, True, True, True, False]]))
    layer = pmod.MixtureLayer(model.model.layers[1], 32, 0.5, seen)
    states = torch.randn(1, 6, 32, generator=torch.manual_seed(2))
    turned = model.model.rotary_emb(states, torch.arange(6)[None])
    with torch.inference_mode():
        out = layer(states, attention_mask=None, position_embeddings=turned, past_key_values=None)
        assert torch.equal(out[:, 3:5], states[:, 3:5]) and not torch.equal(out[:, 1:3], states[:, 1:3])
        layer.router.score.bias.fill_(0.3)
        out = layer(states, attention_mask=None, position_embeddings=turned, past_key_values=None)
    torch.testing.assert_close(out[:, 3:5], (1 + 0.2 * np.tanh(0.3)) * states[:, 3:5])
    assert layer._kept is not None and layer._kept.index.tolist() == [[0, 1, 2, 5]]


def test_rows_with_pictures_of_unequal_size_say_what_each_says_alone(prompt):
    words, visual = prompt
    visual = visual.clone()
    visual[1, 6:12] = False
    model = decoder()
    seen = pmod.wrap(model.model.layers, 32, pmod.ratios(LAYERS))
    for layer in list(model.model.layers)[1:]:
        torch.nn.init.normal_(layer.router.score.weight)
    together = say(model, words, seen, visual)
    for row in range(2):
        alone = say(model, words[row : row + 1], seen, visual[row : row + 1])
        torch.testing.assert_close(together[row], alone[0], atol=2e-5, rtol=0)


def test_routers_learn_and_the_first_layer_must_stay_dense(prompt):
    words, visual = prompt
    model = decoder()
    seen = pmod.wrap(model.model.layers, 32, pmod.ratios(LAYERS))
    with pmod.showing(seen, visual):
        model(words).logits[:, -1].square().mean().backward()
    read = list(model.model.layers)[1:-1]  # what leaves the last layer's visual tokens is read by nobody
    assert all(layer.router.score.weight.grad.abs().sum() > 0 for layer in read)
    with pytest.raises(ValueError, match="the first of them 1"):
        pmod.wrap(decoder().model.layers, 32, [0.5] * LAYERS)


def test_flops_of_the_published_settings():
    llama = {"width": 4096, "inner": 11008, "queries": 4096, "keys": 4096}
    shares = pmod.ratios(32)
    for text, visual, remaining in ((50, 256, 0.61), (50, 64, 0.74), (50, 2880, 0.547)):
        part = pmod.account(shares, text, visual, **llama).flops
        whole = pmod.account([1.0] * 32, text, visual, **llama).flops
        assert part / whole == pytest.approx(remaining, abs=0.01)

"""Caches in fewer bits: what they store, what they give back, and that they behave as transformers
expects."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from models.compress import parse
from models.compress.attention import plain
from models.compress.caches.layer import StoredLayer

NAMES = ("nvfp4", "nvfp4 scale=cast", "fp8", "int4")


def layer(name: str) -> StoredLayer:
    step = parse(name)
    return step.method.load()(step, 1).layers[0]


def pair(tokens: int, seed: int = 0, width: int = 64, dtype: torch.dtype = torch.float32):
    ahead = torch.manual_seed(seed)
    shape = (2, 2, tokens, width)
    return tuple(torch.randn(shape, generator=ahead).to(dtype) for _ in range(2))


def parts(filled: StoredLayer) -> list[torch.Tensor]:
    return [part for held in filled.held for part in held.parts]


@pytest.mark.parametrize("name", NAMES)
def test_the_prompt_comes_back_untouched_and_what_follows_as_stored(name):
    stored, prompt, more = layer(name), pair(6), pair(1, 1)
    first = stored.update(*prompt)
    assert all(ours is theirs for ours, theirs in zip(first, prompt, strict=True))
    keys, values = stored.update(*more)
    assert keys.shape == values.shape == (2, 2, 7, 64) and stored.get_seq_length() == 7
    assert stored.get_mask_sizes(1) == (8, 0)
    assert not torch.equal(keys[:, :, :6], prompt[0])
    signal = prompt[0].norm() / (keys[:, :, :6] - prompt[0]).norm()
    assert signal > (30 if name == "fp8" else 8)


def test_packed_states_can_be_attended_to_as_they_are_or_read():
    query = torch.randn(2, 4, 1, 64, generator=torch.manual_seed(7))
    module = SimpleNamespace(num_key_value_groups=2, is_causal=True)
    said = []
    for name in ("nvfp4", "nvfp4 packed=true"):
        stored = layer(name)
        stored.update(*pair(6))
        said.append(plain(module, query, *stored.update(*pair(1, 1)), None)[0])
    assert torch.equal(*said)
    lent = stored.update(*pair(1, 2))[0]
    assert lent.shape == (2, 2, 8, 64) and torch.equal(lent.read()[:, :, :7], stored.held[0].read()[:, :, :7])


@pytest.mark.parametrize("name", NAMES)
def test_appending_stores_what_storing_at_once_does(name):
    whole = pair(9)
    for states in whole:
        states[:, 0, 0, 0] = 10.0
    at_once, bit_by_bit = layer(name), layer(name)
    at_once.update(*whole)
    for begin, end in ((0, 5), (5, 6), (6, 9)):
        bit_by_bit.update(*(states[:, :, begin:end] for states in whole))
    assert all(torch.equal(*both) for both in zip(parts(at_once), parts(bit_by_bit), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_kept_keeps_its_bits_and_what_is_cropped_is_gone(name):
    stored, index = layer(name), torch.tensor([[[0, 2, 5], [1, 2, 3]]] * 2)
    stored.update(*pair(6))
    before = parts(stored)
    stored.retain(index)
    assert all(
        torch.equal(part[:, 0], old[:, 0, [0, 2, 5]]) for part, old in zip(parts(stored), before, strict=True)
    )
    stored.crop(-2)
    assert stored.get_seq_length() == 1
    with pytest.raises(ValueError, match="minus the number"):
        stored.crop(1)


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_a_batch_do_not_mix_and_can_be_chosen(name):
    keys, values = pair(4)
    keys[1] *= 50
    both, alone = layer(name), layer(name)
    both.update(keys, values)
    alone.update(keys[:1], values[:1])
    both.batch_select_indices(torch.tensor([0]))
    new = pair(1, 3)
    ours = both.update(*(states[:1] for states in new))
    theirs = alone.update(*(states[:1] for states in new))
    assert all(torch.equal(*each) for each in zip(ours, theirs, strict=True))
    both.batch_repeat_interleave(2)
    assert both.update(*new)[0].shape[0] == 2
    both.reset()
    assert both.get_seq_length() == 0 and both.stored_bytes == 0


@pytest.mark.parametrize(("name", "least"), [("nvfp4", 3.5), ("int4", 3.5), ("fp8", 1.9)])
def test_bytes_beside_bf16(name, least):
    states = pair(50, width=128, dtype=torch.bfloat16)
    stored = layer(name)
    stored.update(*states)
    dense = sum(each.numel() * each.element_size() for each in states)
    assert dense / stored.stored_bytes > least
    assert stored.update(*pair(1, width=128, dtype=torch.bfloat16))[0].dtype == torch.bfloat16


def test_a_constant_group_is_exact_and_an_odd_head_is_refused():
    stored = layer("int4")
    stored.update(*(torch.full((1, 1, 3, 64), 2.5),) * 2)
    assert torch.equal(
        stored.update(*(torch.full((1, 1, 1, 64), 2.5),) * 2)[0], torch.full((1, 1, 4, 64), 2.5)
    )
    with pytest.raises(ValueError, match="choose another group"):
        layer("int4 group=48").update(*pair(1))
    with pytest.raises(ValueError, match="multiple of it"):
        layer("nvfp4").update(*pair(1, width=40))

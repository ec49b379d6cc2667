"""Which FlashAttention a GPU honours, and attention in which views see little of each other."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from models.compress import parse
from models.compress.attention import plain, watched
from models.compress.crossview import own_view_mask
from models.compress.flash import refusal
from models.compress.interface import Marks


def nothing(package: str) -> bool:
    return False


@pytest.mark.parametrize(
    ("version", "capability", "there", "said"),
    [
        ("3", None, nothing, "there is none; the nearest that works here is no such step"),
        ("3", 90, nothing, "needs the package flash_attn_interface"),
        ("3", 90, lambda package: package == "flash_attn_interface", None),
        ("3", 80, lambda package: True, "GPU's is 8.0; the nearest that works here is version=2"),
        ("3", 100, lambda package: True, "works here is version=4"),
        ("2", 89, nothing, None),
        ("4", 120, lambda package: True, "this GPU's is 12.0"),
    ],
)  # fmt: skip
def test_a_version_that_cannot_run_is_refused_with_the_nearest_that_can(version, capability, there, said):
    refused = refusal(version, capability, there)
    assert refused is None if said is None else said in refused


def test_on_this_machine_without_a_gpu_the_step_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    step = parse("flash")
    with pytest.raises(ValueError, match="flash: FlashAttention-3 runs on NVIDIA GPUs"):
        step.method.load()(step)


def marks(*sizes: int, before: int = 3, after: int = 4) -> Marks:
    total = sum(sizes)
    return Marks(
        before + total + after,
        torch.arange(before, before + total),
        sizes,
        tuple((1, size) for size in sizes),
        torch.cat([torch.arange(size) for size in sizes]),
    )


def attended(name: str | None, who: Marks | None, seed: int = 0):
    length = 3 + 12 + 4
    lot = torch.manual_seed(seed)
    query, key, value = (torch.randn(2, heads, length, 16, generator=lot) for heads in (4, 2, 2))
    module = SimpleNamespace(num_key_value_groups=2, is_causal=True)
    attend = plain if name is None else parse(name).method.load()(parse(name))
    with nullcontext() if who is None else watched(SimpleNamespace(marks=who)):
        return attend(module, query, key, value, None)[0], (query, key, value)


def test_a_view_is_read_as_if_it_were_alone_and_text_sees_all():
    who = marks(4, 6, 2)
    ours, (query, key, value) = attended("multiview", who)
    part = [0, 1, 2, *range(7, 13)]
    module = SimpleNamespace(num_key_value_groups=2, is_causal=True)
    alone = plain(module, query[:, :, part], key[:, :, part], value[:, :, part], None)[0]
    torch.testing.assert_close(ours[:, 7:13], alone[:, 3:])
    dense = attended(None, None)[0]
    torch.testing.assert_close(ours[:, -4:], dense[:, -4:])
    assert not torch.allclose(ours[:, 7:15], dense[:, 7:15])


@pytest.mark.parametrize("name", ["multiview", "spatial_temporal"])
def test_one_view_and_later_tokens_are_attended_to_as_ever(name):
    for who in (marks(12), None):
        assert torch.equal(attended(name, who)[0], attended(None, None)[0])


def test_the_masks_differ_by_the_same_place_in_views_before():
    who = marks(4, 4, 4)
    ours, theirs = attended("multiview", who)[0], attended("spatial_temporal", who)[0]
    torch.testing.assert_close(ours[:, :7], theirs[:, :7])
    assert not torch.allclose(ours[:, 7:], theirs[:, 7:])
    assert own_view_mask(who).sum() < torch.ones(19, 19).tril().sum()


def test_keys_that_are_gone_before_attention_cannot_be_told_apart():
    attend = parse("multiview").method.load()(parse("multiview"))
    states = torch.randn(1, 2, 10, 16)
    with watched(SimpleNamespace(marks=marks(4, 4))), pytest.raises(ValueError, match="needs all keys"):
        attend(SimpleNamespace(), states, states, states, None)

"""The small VLM on part of its tokens: the same as if they had never been there."""

from __future__ import annotations

import torch

from models.vlm.small.network import Shape, SmallNetwork
from models.vlm.small.pruned import first_word

SHAPE = Shape(features=8, grid=2, width=32, inner=64, layers=2, heads=2)


def network() -> SmallNetwork:
    torch.manual_seed(0)
    made = SmallNetwork(SHAPE)
    for each in made.decoder.parameters():
        each.data *= 3
    made.train(False)
    return made


def test_keeping_everything_is_the_network_itself():
    made, maps, present = (
        network(),
        torch.randn(3, 2, 8, 2, 2),
        torch.tensor([[True, True]] * 2 + [[True, False]]),
    )
    plain = made(maps, present, torch.zeros(3, 0, dtype=torch.long))[:, 0]
    kept = torch.ones(3, 2, 4, dtype=torch.bool)
    assert torch.equal(first_word(made, made.look(maps), present, kept), plain)


def test_a_hidden_token_may_hold_anything_and_equal_tokens_merge_without_a_trace():
    made, present = network(), torch.tensor([[True, True]])
    seen = made.look(torch.randn(1, 2, 8, 2, 2))
    kept = torch.tensor([[[True, False, True, True], [True, True, False, False]]])
    wanted = first_word(made, seen, present, kept)
    garbled = torch.where(kept[..., None], seen, seen + 50)
    torch.testing.assert_close(first_word(made, garbled, present, kept), wanted, atol=1e-5, rtol=0)
    assert not torch.allclose(first_word(made, seen, present, torch.ones_like(kept)), wanted, atol=1e-3)
    sizes = torch.where(kept, 1.0, 0.0)
    torch.testing.assert_close(first_word(made, seen, present, kept, sizes), wanted, atol=1e-5, rtol=0)

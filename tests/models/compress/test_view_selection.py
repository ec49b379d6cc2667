"""PVC, VASparse and LUVC: what they keep, what they merge, and when they change nothing."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models.compress import luvc, order, pvc, vasparse
from models.compress.luvc import Grid
from models.compress.step import parse


def test_ties_keep_the_earlier_token_in_order():
    assert order.top(torch.tensor([1.0, 2.0, 1.0, 2.0, 1.0]), 3).tolist() == [0, 1, 3]
    with pytest.raises(ValueError, match="6 of 5"):
        order.top(torch.zeros(5), 6)


def test_budgets_are_the_published_ones_and_scale_to_any_total():
    assert pvc.budgets([64] * 6, 280 / 384) == [64, 48, 48, 40, 40, 40]
    assert pvc.budgets([64], 0.5) == [32]
    assert pvc.budgets([16] * 6, 1.0) == [16] * 6


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(2, 40), st.floats(0.01, 1.0))
def test_budgets_add_up_and_never_grow_from_view_to_view(views, tokens, keep):
    counts = pvc.budgets([tokens] * views, keep)
    assert sum(counts) == max(views, int(keep * views * tokens))
    assert max(counts) <= tokens and min(counts) >= 1
    assert all(a >= b for a, b in pairwise(counts))


def test_a_supplement_shows_what_the_views_before_do_not():
    torch.manual_seed(0)
    base = torch.randn(8, 16)
    new = torch.randn(2, 16)
    later = torch.cat([base[:3], new[:1], base[3:5], new[1:]])  # 5 repeats, 2 news
    for novelty in ("greedy", "once"):
        first, second = pvc.select([base, later], [8, 2], novelty)
        assert first.tolist() == list(range(8)) and second.tolist() == [3, 6]


def test_a_full_budget_keeps_everything_and_what_is_kept_is_in_order():
    torch.manual_seed(1)
    views = [torch.randn(9, 4) for _ in range(3)]
    assert all(each.tolist() == list(range(9)) for each in pvc.select(views, [9, 9, 9]))
    views[1] = views[0].clone()  # nothing new at all: still the asked number, each once
    for each, count in zip(pvc.select(views, [5, 4, 3]), (5, 4, 3), strict=True):
        assert len(set(each.tolist())) == count and each.tolist() == sorted(each.tolist())


def test_saliency_is_equation_5():
    torch.manual_seed(2)
    attention = torch.rand(3, 5, 5).softmax(-1)
    visual = torch.tensor([False, True, True, False, False])
    kept = vasparse.saliency(attention, visual)
    wanted = np.exp(attention[-1, :, 1:3].sum(-1).numpy())
    np.testing.assert_allclose(kept.numpy(), wanted / wanted.sum(), rtol=1e-6)


def test_the_contrast_is_a_constant_that_ignores_what_was_seen():
    torch.manual_seed(4)
    embed, head = nn.Embedding(7, 5), nn.Linear(5, 7, bias=False)
    last, scores = embed.weight[3].expand(4, 5), torch.randn(4, 7)
    assert vasparse.adjust(scores, last, head, parse("vasparse_contrast alpha=0")) is scores
    found = vasparse.adjust(scores, last, head, parse("vasparse_contrast"))
    shift = found - 1.1 * scores
    torch.testing.assert_close(shift, shift[:1].expand_as(shift))
    torch.testing.assert_close(shift[0], -0.1 * head(embed.weight[3]), atol=1e-6, rtol=0)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 7), st.integers(2, 7), st.data())
def test_merging_keeps_a_grid_and_loses_no_weight(height, width, data):
    removals = [data.draw(st.integers(0, width // 2)), data.draw(st.integers(0, height // 2))]
    grid = Grid.of(torch.randn(2, height, width, 3, generator=torch.manual_seed(height * 10 + width)))
    merged = luvc.merge_axis(luvc.merge_axis(grid, removals[0], axis=2), removals[1], axis=1)
    assert merged.tokens.shape == (2, height - removals[1], width - removals[0], 3)
    assert float(merged.sizes.sum()) == pytest.approx(2 * height * width)
    before, after = ((each.tokens * each.sizes[..., None]).sum((1, 2)) for each in (grid, merged))
    torch.testing.assert_close(before, after, atol=1e-4, rtol=1e-4)
    if not any(removals):
        assert merged is grid


def test_what_is_alike_merges_first_and_the_rest_stays_itself():
    line = torch.eye(6)[[0, 0, 1, 2, 3, 4]].reshape(1, 1, 6, 6)
    merged = luvc.merge_axis(Grid.of(line), 1, axis=2)
    assert merged.sizes.tolist() == [[[2, 1, 1, 1, 1]]] and torch.equal(merged.tokens[0, 0], torch.eye(6)[:5])
    with pytest.raises(ValueError, match="3 pairs a line"):
        luvc.merge_axis(Grid.of(line), 4, axis=2)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_squeezing_leaves_exactly_what_was_asked(height, width, data):
    count = data.draw(st.integers(1, height * width))
    tokens = torch.randn(height * width, 3, generator=torch.manual_seed(height * 7 + width))
    index, features, sizes = luvc.squeeze(tokens, (height, width), count)
    assert len(index) == count and index.tolist() == sorted(set(index.tolist()))
    assert float(sizes.sum()) == height * width
    torch.testing.assert_close((features * sizes[:, None]).sum(0), tokens.sum(0), atol=1e-4, rtol=1e-4)
    if count == height * width:
        assert torch.equal(features, tokens)


def test_what_is_dropped_joins_what_is_most_like_it():
    features = torch.tensor([[2.0, 0.0], [0.0, 1.0], [4.0, 0.1], [0.1, 3.0]])
    joined, sizes = pvc.absorb(features, torch.tensor([0, 1]))
    assert sizes.tolist() == [2, 2]
    torch.testing.assert_close(joined, torch.tensor([[3.0, 0.05], [0.05, 2.0]]))


def test_the_spectrum_tells_detail_from_a_smooth_ground():
    smooth = torch.cos(torch.linspace(0, np.pi, 32))[:, None].repeat(1, 3)
    spiked = smooth.clone()
    spiked[11] += 4
    assert luvc.spectral_select(spiked, 1).tolist() == [11]
    torch.testing.assert_close(luvc.low_pass(spiked, 1.0), spiked, atol=1e-5, rtol=0)
    batch = torch.stack([spiked, smooth])
    assert torch.equal(luvc.spectral_select(batch, 5)[0], luvc.spectral_select(spiked, 5))
    assert luvc.spectral_select(batch, 0).shape == (2, 0)


def test_the_schedule_ends_with_no_picture_at_all():
    assert luvc.schedule(8, 64, 4) == [64, 64, 64, 64, 48, 32, 16, 0]
    assert luvc.schedule(3, 10, 3) == [10, 10, 10]
    falling = luvc.schedule(28, 300, 14)
    assert falling == sorted(falling, reverse=True) and falling[-1] == 0

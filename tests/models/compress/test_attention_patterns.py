"""BiFormer's routing and attention along the Hilbert curve, against dense attention."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention as dense

from models.compress import biformer, hilbert
from models.compress.hilbert import Pattern


def states(tokens: int, heads: int = 2, width: int = 4, seed: int = 0) -> list[torch.Tensor]:
    torch.manual_seed(seed)
    return [torch.randn(2, heads, tokens, width, dtype=torch.float64) for _ in range(3)]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 24), st.integers(1, 24))
def test_the_curve_visits_every_cell_once_and_never_jumps(height, width):
    path = hilbert.curve(height, width)
    assert sorted(path) == list(range(height * width))
    steps = [max(abs(a // width - b // width), abs(a % width - b % width)) for a, b in pairwise(path)]
    assert all(step == 1 for step in steps)


@pytest.mark.parametrize("grid", [(8, 8), (4, 12), (6, 10)])
def test_on_even_grids_each_step_goes_to_one_of_four_neighbours(grid):
    path, width = hilbert.curve(*grid), grid[1]
    for a, b in pairwise(path):
        assert abs(a // width - b // width) + abs(a % width - b % width) == 1


@pytest.mark.filterwarnings("ignore:flex_attention called without")
@pytest.mark.parametrize(
    "pattern", [Pattern("neighbours", 5), Pattern("window", 7), Pattern("neighbours", 0)]
)
def test_blocks_and_flex_say_what_the_masked_dense_attention_says(pattern):
    query, key, value = states(6 * 9)
    order = torch.tensor(hilbert.curve(6, 9))
    along = (each[..., order, :] for each in (query, key, value))
    masked = dense(*along, attn_mask=pattern.mask(54))[..., order.argsort(), :]
    blocks = hilbert.attend(query, key, value, (6, 9), pattern, "blocks", block=16)
    torch.testing.assert_close(blocks, masked)
    single = [each.float() for each in (query, key, value)]
    flex = hilbert.attend(*single, (6, 9), pattern, "flex")
    torch.testing.assert_close(flex, masked.float())


def test_a_pattern_that_allows_all_is_dense_attention_bit_for_bit():
    query, key, value = states(16)
    found = hilbert.attend(query, key, value, (4, 4), Pattern("neighbours", 16))
    assert torch.equal(found, dense(query, key, value))
    with pytest.raises(ValueError, match="16 tokens are not"):
        hilbert.attend(query, key, value, (4, 5), Pattern("window", 4))


def test_windows_of_the_picture_leave_more_blocks_empty_along_the_curve():
    by_row = hilbert.picture_windows(64, 64, 16)
    along = hilbert.picture_windows(64, 64, 16, hilbert.curve(64, 64))
    assert hilbert.empty_blocks(along, 128) > hilbert.empty_blocks(by_row, 128) + 0.1
    assert hilbert.empty_blocks(Pattern("window", 128).mask(1024), 128) == 1 - 8 / 64


def test_routing_to_all_regions_is_dense_attention():
    query, key, value = states(8 * 12)
    whole = biformer.routed(query, key, value, (8, 12), regions=4, top=16, scale=0.3)
    torch.testing.assert_close(whole, dense(query, key, value, scale=0.3), atol=1e-12, rtol=0)
    shortcut = biformer.attend(query, key, value, (8, 12), 4, 16, 0.3)
    assert torch.equal(shortcut, dense(query, key, value, scale=0.3))


def test_a_token_reads_only_its_regions_choice():
    query, key, value = states(64)
    q, k = (biformer.split(each, (8, 8), 4) for each in (query, key))
    choice = biformer.route(q, k, 3)
    found = biformer.attend(query, key, value, (8, 8), 4, 3, 0.5)
    unread = next(each for each in range(16) if each not in choice[0, 0].tolist())
    region = biformer.split(torch.arange(64.0).reshape(1, 1, 64, 1), (8, 8), 4)[0, 0, :, :, 0].long()
    changed = value.clone()
    changed[0, :, region[unread]] += 100
    again = biformer.attend(query, key, changed, (8, 8), 4, 3, 0.5)
    assert torch.equal(found[0, :, region[0]], again[0, :, region[0]]) and not torch.equal(found, again)
    assert torch.equal(biformer.join(q, (8, 8), 4), query)


def test_work_falls_with_the_regions_read_and_grids_that_do_not_divide_are_refused():
    dense = biformer.flops(64, 8, 1, 1)
    assert dense == biformer.flops(64, 8, 4, 16) == 4 * 64 * 64 * 8
    assert biformer.flops(64, 8, 4, 4) == dense / 4 + 2 * 4**4 * 8
    with pytest.raises(ValueError, match="does not divide"):
        biformer.attend(*states(15), (5, 3), 2, 2)

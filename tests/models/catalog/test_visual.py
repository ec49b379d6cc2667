"""Tokens per image: figures that were measured elsewhere, and properties of every rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.catalog import CATALOGUE, find

SIDE = st.integers(1, 5000)
ROWS = st.sampled_from([row for row in CATALOGUE.values() if row.text is not None])


@pytest.mark.parametrize(
    ("name", "view", "megapixel"),
    [
        ("qwen3-vl-8b", 64, 961),  # 224 px is enlarged to 256 px; 1000 px is 31 x 31 cells of 32 px
        ("internvl3-78b", 256, 2560),  # one tile; nine tiles and a thumbnail
        ("llama-4-scout", 144, 1440),
        ("llama-3.2-90b-vision", 6404, 6404),
        ("deepseek-vl2", 421, None),
        ("phi-4-multimodal", 545, None),
        ("minicpm-v-4.5", 64, 384),
        ("videollama3-7b", 64, 1225),
    ],
)
def test_known_counts(name, view, megapixel):
    rule = find(name).visual
    assert rule.per_view == view
    assert megapixel is None or rule.per_megapixel == megapixel


@given(ROWS, SIDE, SIDE)
def test_every_image_costs_some_tokens_and_no_more_than_the_limit(row, width, height):
    tokens, rule = row.visual.tokens(width, height), row.visual
    assert tokens > 0
    if rule.rule == "grid":
        ends = max(width / height, height / width)
        assert tokens * rule.unit**2 <= rule.most or ends > 20
    elif rule.rule != "fixed":
        assert tokens <= rule.fixed + rule.per_tile * (rule.limit + 1) + rule.per_row * rule.limit


@given(ROWS, SIDE)
def test_a_larger_square_never_costs_less(row, side):
    assert row.visual.tokens(side, side) <= row.visual.tokens(2 * side, 2 * side)


def test_an_empty_image_is_refused():
    with pytest.raises(ValueError, match="at least one pixel"):
        find("qwen3-vl-8b").visual.tokens(0, 10)

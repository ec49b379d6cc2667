import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.calibration import LIMIT
from models.core import Evidence
from models.fusion import fuse


def said(*values):
    return [Evidence(f"tier{index}", "v", value) for index, value in enumerate(values)]


def test_nobody_has_spoken():
    assert fuse([]) is None


def test_log_odds_add_up():
    assert fuse(said(1.5)) == 1.5
    assert fuse(said(1.5, -0.5, 2)) == pytest.approx(3)


@given(st.lists(st.floats(allow_nan=True), max_size=6))
def test_the_sum_is_finite_whatever_was_said(values):
    found = fuse(said(*values))
    assert (found is None) == all(math.isnan(value) for value in values)
    assert found is None or abs(found) <= LIMIT


@given(st.permutations([3.0, -1.25, 0.5, 700.0]))
def test_order_does_not_matter(values):
    assert fuse(said(*values)) == fuse(said(3.0, -1.25, 0.5, 700.0))

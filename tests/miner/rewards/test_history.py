"""Days of payouts: nothing is lost between epochs and days, and no day is skipped."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.rewards.history import BARS, by_day, sparkline

DAY_NS = 86_400 * 10**9


def row(day, alpha=1.0, second=0, **more):
    at = datetime(2026, 5, day, tzinfo=UTC).timestamp() + second
    return {"at_ns": int(at * 1e9), "alpha": alpha, "tao": alpha * 0.01, "incentive": 0.1, **more}


def test_a_day_sums_its_epochs_and_takes_the_best_rank():
    rows = [row(3, 1.0, 10, rank=9), row(3, 2.5, 86_399, rank=4), row(4, 4.0, 0, rank=7)]
    first, second = by_day(rows)
    assert (first.date, first.alpha, first.epochs, first.rank) == (date(2026, 5, 3), 3.5, 2, 4)
    assert first.tao == pytest.approx(0.035) and (second.alpha, second.rank) == (4.0, 7)


def test_a_day_without_an_epoch_is_shown_as_one_that_paid_nothing():
    days = by_day([row(1), row(4)])
    assert [day.date.day for day in days] == [1, 2, 3, 4]
    assert [day.alpha for day in days] == [1.0, 0.0, 0.0, 1.0] and days[1].rank is None


@given(st.lists(st.tuples(st.integers(0, 40 * DAY_NS), st.floats(0, 1e6)), max_size=40))
def test_days_and_epochs_add_up_to_the_same(paid):
    days = by_day([{"at_ns": at, "alpha": alpha} for at, alpha in paid])
    assert sum(day.alpha for day in days) == pytest.approx(sum(alpha for _, alpha in paid))
    assert sum(day.epochs for day in days) == len(paid)
    assert all((b.date - a.date).days == 1 for a, b in pairwise(days))


@given(st.lists(st.floats(-1e9, 1e9), max_size=60))
def test_a_sparkline_has_a_bar_per_value_and_a_full_one_for_the_largest(values):
    bars = sparkline(values)
    assert len(bars) == len(values) and set(bars) <= set(BARS)
    if values and max(values) > 0:
        assert bars[values.index(max(values))] == BARS[-1]

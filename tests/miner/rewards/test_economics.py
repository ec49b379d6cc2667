"""A day's money, worked by hand."""

from __future__ import annotations

from datetime import date

import pytest

from miner.rewards.economics import EconomicsError, economics, gain_of_a_point
from miner.rewards.history import Day

TODAY = Day(date(2026, 5, 3), alpha=1.0, tao=0.001)
DAYS = [Day(date(2026, 5, 1), alpha=10.0, tao=0.03), Day(date(2026, 5, 2), alpha=14.0, tao=0.05), TODAY]


def test_a_day_by_hand():
    money = economics(DAYS, cost_per_hour=0.5, tao_price=200.0)
    assert money.days == 2, "the day that is not over does not count"
    assert (money.alpha, money.tao) == (12.0, pytest.approx(0.04))
    assert money.income == pytest.approx(8.0) and money.cost == 12.0 and money.profit == pytest.approx(-4.0)
    assert money.break_even_alpha == pytest.approx(12.0 / 200.0 / 12.0)
    assert money.break_even_tao == pytest.approx(300.0)


def test_at_the_break_even_price_nothing_is_left_and_nothing_is_missing():
    money = economics(DAYS, 0.5, 200.0)
    assert economics(DAYS, 0.5, money.break_even_tao).profit == pytest.approx(0.0)


def test_a_miner_that_earns_nothing_never_breaks_even():
    money = economics([Day(date(2026, 5, 1))], 1.0, 200.0)
    assert money.break_even_alpha is None and money.break_even_tao is None and money.profit == -24.0


def test_a_point_of_mcc_is_worth_more_where_the_cube_is_flat():
    # balanced: MCC = 2 a - 1, accuracy a; reward ((3 a - 1) / 2)^3
    assert gain_of_a_point(0.9, 0.9) == pytest.approx(((3 * 0.905 - 1) / (3 * 0.9 - 1)) ** 3 - 1)
    assert gain_of_a_point(0.7, 0.7) > gain_of_a_point(0.95, 0.95) > gain_of_a_point(1.0, 1.0) == 0.0
    money = economics(DAYS, 0.5, 200.0, rates=(0.9, 0.9))
    assert money.point == pytest.approx(8.0 * gain_of_a_point(0.9, 0.9))


@pytest.mark.parametrize(("cost", "price"), [(0.0, 200.0), (0.5, 0.0), (-1.0, 5.0)])
def test_without_a_cost_or_a_price_there_is_nothing_to_reckon_with(cost, price):
    with pytest.raises(EconomicsError, match="above 0"):
        economics(DAYS, cost, price)


def test_without_a_payout_neither():
    with pytest.raises(EconomicsError, match="no epoch"):
        economics([], 1.0, 1.0)

"""The twin of a fleet agrees with what queueing theory knows, and its simulation with its arithmetic."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

from harness.oracle import least_late, percentile_s  # noqa: E402
from harness.queueing import (  # noqa: E402
    CHILD,
    DEVICE,
    FRONT,
    Costs,
    Fleet,
    Unit,
    bottleneck,
    capacities,
    carried,
    poisson,
)

FREE = {"front": 1e-9, "refused": 0.0, "child": 0.0, "decode": 0.0}
ONE_BY_ONE = Costs(**FREE, a=0.0, b=0.01)
CARD = Costs(front=0.0005, refused=0.0002, child=0.0004, decode=0.0006, a=0.02, b=0.001, spread=0.1)


def test_waiting_for_one_server_is_what_pollaczek_and_khinchine_say():
    load = 0.5
    seen = Unit(ONE_BY_ONE).run(poisson(load / 0.01, 5000, seed=2))
    mean_ms = sum(seen.ms) / len(seen.ms)
    assert mean_ms == pytest.approx(10 + 10 * load / (2 * (1 - load)), rel=0.06)


@pytest.mark.parametrize(("a", "b", "front", "devices"), [(0.06, 0.01, 0.004, 2), (0.0, 0.02, 0.03, 1)])
def test_overload_is_carried_as_arithmetic_says_and_nobody_admitted_is_late(a, b, front, devices):
    costs = Costs(front=front, refused=front / 4, child=0.0003, decode=0.0005, a=a, b=b)
    stage, most = bottleneck(costs, devices)
    seen = Unit(costs, devices, seed=1).run(poisson(1.5 * most, int(1.5 * most * 12), seed=1))
    if stage == DEVICE:
        assert seen.late == 0
        assert seen.rate(since=5.0) == pytest.approx(most, rel=0.08)
    else:
        assert seen.rate(since=5.0) <= 1.06 * most


def test_what_is_carried_when_three_times_as_much_is_asked():
    assert carried(CARD, seconds=15.0) == pytest.approx(bottleneck(CARD)[1], rel=0.04)


def test_a_faster_device_makes_another_stage_the_first_to_be_full():
    assert bottleneck(CARD)[0] == DEVICE
    assert bottleneck(CARD.faster(100))[0] == FRONT
    assert capacities(CARD, 4)[CHILD] == 4 * capacities(CARD)[CHILD]
    assert capacities(CARD, 4)[FRONT] == capacities(CARD)[FRONT]


def test_idle_hotkeys_take_their_part_of_the_front():
    busy = Costs(**{**FREE, "front": 0.001}, a=0.0, b=1e-6, hotkey_cpu=0.001)
    assert capacities(busy, hotkeys=500)[FRONT] == pytest.approx(500)
    assert capacities(busy, hotkeys=5000)[FRONT] == 0


def test_a_hotkey_has_one_miner():
    assert Fleet(1000, 10).fronts == 10 and Fleet(1000, 10_000).fronts == 1000
    assert Fleet(8, 100, per_front=4).fronts == 2 and Fleet(8, 100, per_front=4).unit_hotkeys == 50


def test_the_same_seed_gives_the_same_times():
    runs = [Unit(CARD, seed=5).run(poisson(300, 500, 7, seed=5)).ms for _ in range(2)]
    assert runs[0] == runs[1]


def test_the_fewest_late_of_three_are_those_of_the_best_way_to_batch_them():
    costs = Costs(**FREE, a=1.0, b=0.1, most=2)
    arrivals = [0.0, 0.5, 0.6]
    assert [least_late(arrivals, costs, within) for within in (0.1, 1.3, 1.75, 1.85)] == [3, 2, 1, 0]
    assert percentile_s(arrivals, costs, 0.5, 1e-4) == pytest.approx(1.7, abs=1e-3)


def test_nobody_beats_who_knows_all_arrivals():
    arrivals = list(poisson(60.0, 300, seed=3))
    served = Unit(CARD).run(arrivals).percentile(0.95) / 1e3
    assert 1.02 * CARD.batch(1) < percentile_s([at for at, _ in arrivals], CARD, 0.95) <= served

"""Several hotkeys of ours on one engine: one that is flooded does not cost the other its answers."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.engine.config import EngineConfig
from miner.engine.forecast import Forecast
from miner.engine.gate import ASKED_S, Gate
from miner.engine.interface import Shed
from miner.engine.queues import DeadlineQueue, Waiting
from models.core import BACKGROUND, Request
from models.description import Description

FAR = 1e6
WITHIN_S = 7.5
ONE_A_SECOND = Forecast(a=0.0, b=0.1, high=1.0, decode=0.0, batch=1)


def queue_of(groups):
    queue = DeadlineQueue(lambda images: 0.001 * images)
    for number, group in enumerate(groups):
        queue.put(Waiting(number, number, FAR, float(number), group=group))
    return queue


def test_hotkeys_take_turns():
    queue = queue_of("aaaaab")
    assert queue.take(2, 10.0) == [0, 5], "the sixth to come is the first of its hotkey"
    assert queue.take(16, 10.0) == [1, 2, 3, 4]


@given(st.text("abc", min_size=1, max_size=30), st.integers(1, 8))
def test_no_hotkey_is_served_twice_more_than_another_that_waits(groups, most):
    queue, left = queue_of(groups), Counter(groups)
    served: Counter[str] = Counter()
    while len(queue):
        for number in queue.take(most, 100.0):
            served[groups[number]] += 1
            left[groups[number]] -= 1
        behind = [served[group] for group in left if left[group]]
        assert not behind or max(served.values()) - min(behind) <= 1
    assert served == Counter(groups)


@given(st.lists(st.floats(0, 1e5), min_size=1, max_size=20))
def test_one_hotkey_alone_is_served_as_ever(priorities):
    def out(group):
        queue = DeadlineQueue(lambda images: 0.001 * images)
        for number, priority in enumerate(priorities):
            queue.put(Waiting(number, number, FAR, 1.0, priority, group=group))
        return queue.take(99, 2.0)

    assert out("a") == out(None) == sorted(range(len(priorities)), key=lambda n: (-_capped(priorities[n]), n))


def _capped(priority: float) -> float:
    return -Waiting(0, 0, FAR, 1.0, priority).rank


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def gate(clock):
    return Gate(EngineConfig(Description("given", ({"kind": "x"},)), device="cpu", queue=512), clock)


def asked(gate, clock, hotkey, number, priority=1.0):
    request = Request(f"{hotkey}{number}", hotkey, "vali", (b"x",), clock.now + WITHIN_S, priority)
    gate.enter(request, ONE_A_SECOND)
    return request


def flood(gate, clock, hotkey):
    """How many get in before the first is shed, and why it is."""
    for number in range(1000):
        try:
            asked(gate, clock, hotkey, f"-{clock.now}-{number}")
        except Shed as shed:
            return number, shed.reason
    return 1000, ""


def test_a_hotkey_alone_fills_the_queue_as_ever(gate, clock):
    assert flood(gate, clock, "a") == (48, "late")


def test_a_flooded_hotkey_leaves_the_other_its_half(gate, clock):
    asked(gate, clock, "b", 0)
    count, why = flood(gate, clock, "a")
    assert why == "share" and 20 <= count <= 25
    assert flood(gate, clock, "b")[0] >= 20, "and the other finds as much room behind it"


def test_the_room_is_its_own_again_when_the_other_is_not_asked_any_more(gate, clock):
    gate.leave(asked(gate, clock, "b", 0), None)
    clock.now += ASKED_S + 1
    assert flood(gate, clock, "a") == (48, "late")


def test_whoever_leaves_or_goes_on_to_later_members_gives_its_room_back(gate, clock):
    asked(gate, clock, "b", 0)
    first = [asked(gate, clock, "a", number) for number in range(20)]
    for request in first[:10]:
        gate.leave(request, None)
    for request in first[10:]:
        gate.passed(request)
    assert flood(gate, clock, "a")[0] >= 20
    for request in first[10:]:
        gate.leave(request, None)
    assert flood(gate, clock, "a")[0] == 0


def test_the_background_is_nobodys_rival(gate, clock):
    asked(gate, clock, "operator", 0, BACKGROUND)
    assert flood(gate, clock, "a") == (48, "late")


def test_a_hotkey_with_nothing_waiting_is_never_told_that_it_has_its_share(gate, clock):
    slow = Forecast(a=0.0, b=3.0, high=1.0, decode=0.0, batch=1)
    asked(gate, clock, "b", 0)
    gate.enter(Request("a", "a", "vali", (b"x",), clock.now + 100.0, 1.0), slow)

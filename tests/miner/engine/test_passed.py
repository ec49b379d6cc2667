"""A request that only later members are still asked about takes room, and nobody's time."""

from __future__ import annotations

import threading
import time

import pytest
from engine_helpers import picture
from hypothesis import given
from hypothesis import strategies as st

from miner.engine.config import EngineConfig
from miner.engine.forecast import Forecast
from miner.engine.gate import Gate
from miner.engine.interface import Shed, Unavailable
from miner.engine.judge import Judge
from miner.engine.lane import Lane
from models.core import BACKGROUND, Evidence, Request
from models.description import Description
from models.imaging.header import Limits

NOW = 1000.0
SLOW = Forecast(a=0.0, b=1.0, high=1.0, decode=0.0, batch=1)
"""A second per image."""


def request(number, within=7.5, views=1, priority=0.0):
    return Request(str(number), "us", "them", (b"x" * 100,) * views, NOW + within, priority)


def gate(**more):
    return Gate(EngineConfig(Description("given", ({"kind": "trivial"},)), **more), clock=lambda: NOW)


def test_who_waits_for_a_later_member_sheds_nobody():
    door = gate()
    waiting = [request(number) for number in range(4)]
    for each in waiting:
        door.enter(each, SLOW)
    with pytest.raises(Shed, match="late"):
        door.enter(request("one more"), SLOW)
    for each in waiting:
        door.passed(each)
        door.passed(each)
    door.enter(request("now"), SLOW)


def test_but_it_still_takes_room():
    door = gate(queue=4)
    for number in range(4):
        door.enter(request(number, within=100), SLOW)
        door.passed(request(number, within=100))
    with pytest.raises(Shed, match="full"):
        door.enter(request("one more", within=100), SLOW)
    small = gate(held_bytes=150)
    small.enter(request(0), SLOW)
    small.passed(request(0))
    with pytest.raises(Shed, match="memory"):
        small.enter(request(1), SLOW)


@given(
    st.lists(st.tuples(st.integers(1, 6), st.booleans(), st.booleans(), st.floats(1, 9)), max_size=20),
    st.randoms(),
)
def test_whatever_order_they_leave_in_the_gate_is_empty_afterwards(rows, chance):
    door = gate(queue=120)
    inside = [
        request(number, within=1000 * within, views=views, priority=BACKGROUND if back else 0.0)
        for number, (views, back, _, within) in enumerate(rows)
    ]
    for each in inside:
        door.enter(each, Forecast(b=1e-6))
    for each, (_, _, passes, _) in zip(inside, rows, strict=True):
        if passes:
            door.passed(each)
    chance.shuffle(inside)
    for each in inside:
        door.leave(each, Unavailable("deadline"))
    assert door.failed == len(rows)
    for number in range(20):
        door.enter(request(f"again {number}", within=1e6, views=6), Forecast(b=1e-6))


class Says:
    version = "1"

    def __init__(self, name):
        self.name = name

    def prepare(self, image):
        return image

    def evidence(self, batch):
        return [Evidence(self.name, self.version, 1.0) for _ in batch]


@pytest.mark.parametrize(("names", "times"), [(("one",), 0), (("one", "two", "three"), 1)])
def test_the_judge_tells_once_and_only_if_others_are_asked(names, times):
    judge = Judge([Says(name) for name in names], limits=Limits(2**22, 10**7), broken=print)
    judge.start()
    told, done = [], threading.Event()
    asked = Request("r", "us", "them", (picture(100),), time.monotonic() + 30)
    judge.submit(asked, lambda outcome: done.set(), passed=lambda: told.append(1))
    assert done.wait(30)
    judge.stop()
    assert len(told) == times


def test_a_lane_that_is_skipped_for_lack_of_time_is_not_passed_on_to(monkeypatch):
    judge = Judge([Says("one"), Says("two")], limits=Limits(2**22, 10**7), broken=print)
    judge.start()
    monkeypatch.setattr(Lane, "in_time", lambda self, deadline: False)
    told, outcomes, done = [], [], threading.Event()
    asked = Request("r", "us", "them", (picture(100),), time.monotonic() + 30)
    judge.submit(asked, lambda out: (outcomes.append(out), done.set()), passed=lambda: told.append(1))
    assert done.wait(30)
    judge.stop()
    assert not told and outcomes[0].notes == ("no_time:two",)

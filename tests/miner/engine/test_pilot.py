"""Under load fewer members are asked; that is noted, counted and said."""

from __future__ import annotations

import io
import itertools
import threading
import time

import pytest
from engine_helpers import ask, make, picture, running
from PIL import Image
from prometheus_client import CollectorRegistry

from miner.engine.config import EngineConfig
from miner.engine.forecast import Book, Forecast
from miner.engine.interface import EngineHealth, Shed
from miner.engine.judge import Judge
from miner.engine.pilot import CourseState, Pilot, held_ms
from miner.engine.plan import planned
from miner.engine.thread import ThreadEngine
from miner.telemetry import engine_metrics
from models.adapt import LEAST, SMALLER
from models.core import BACKGROUND, Evidence, Request
from models.description import Description
from models.imaging.encode import smaller
from models.imaging.header import Limits

LIMITS = Limits(2**22, 10**7)


class Says:
    version = "1"

    def __init__(self, name):
        self.name = name

    def prepare(self, image):
        return image

    def evidence(self, batch):
        return [Evidence(self.name, self.version, 1.0) for _ in batch]


@pytest.fixture
def judge():
    judge = Judge([Says("one"), Says("two")], limits=LIMITS, p95_ms=1000.0, broken=print)
    judge.start()
    yield judge
    judge.stop()


def verdict(judge, priority=0.0, numbers=itertools.count()):  # noqa: B008 - one count for all
    outcomes, done = [], threading.Event()
    asked = Request(f"r{next(numbers)}", "us", "them", (picture(100),), time.monotonic() + 60, priority)
    judge.submit(asked, lambda outcome: (outcomes.append(outcome), done.set()))
    assert done.wait(90)
    return outcomes[0]


def overload(judge):
    for _ in range(20):
        judge._pilot.answered(time.monotonic(), 5000.0, 10.0)


def test_under_load_the_first_member_answers_alone_and_the_verdict_says_so(judge):
    assert verdict(judge).path == ("one", "two")
    assert judge.progress().course == CourseState("whole", "", 0)
    overload(judge)
    cut = verdict(judge)
    assert cut.path == ("one",) and cut.notes == ("load:two",) and not cut.certified
    state = judge.progress().course
    assert (state.course, state.changes) == ("first 1", 1) and "above 1000 ms" in state.why
    ((at, course, why),) = state.log
    assert abs(at - time.time()) < 60 and (course, why) == (state.course, state.why)


class Shrinks(Says):
    """Says how much of the picture it was shown."""

    shrinks = True

    def prepare(self, image, share=1.0):
        return share

    def evidence(self, batch):
        return [Evidence(self.name, self.version, share) for share in batch]


@pytest.fixture
def shrinking():
    judge = Judge([Says("one"), Shrinks("two")], limits=LIMITS, budget_ms=100.0, broken=print)
    judge.start()
    yield judge
    judge.stop()


def test_before_anybody_is_left_out_it_is_shown_less_and_counts_as_another_version(shrinking):
    assert verdict(shrinking).evidence["two"] == 1.0
    for _ in range(20):
        shrinking._pilot.answered(time.monotonic(), 5.0, 100.0)
    less = verdict(shrinking)
    assert less.path == ("one", "two") and less.evidence == {"one": 1.0, "two": SMALLER}
    assert less.versions == {"one": "1", "two": f"1@{SMALLER}"} and less.notes == ("smaller:two",)
    state = shrinking.progress().course
    assert state.course == "whole, smaller" and "compute a second" in state.why
    assert verdict(shrinking, BACKGROUND).evidence["two"] == 1.0


def test_batches_are_full_under_load_as_far_as_they_stay_short():
    slow = Forecast(a=0.01, b=0.1, high=1.0, batch=3)
    assert slow.fullest(16) == 9 and slow.fullest(4) == 4
    assert Forecast(a=0.0, b=2.0, high=1.0, batch=2).fullest(16) == 2


def test_a_member_elsewhere_gets_smaller_pictures():
    image = Image.new("RGB", (200, 100), (90, 120, 30))
    small = Image.open(io.BytesIO(smaller(image, 0.75)))
    assert small.size == (150, 75) and small.format == "JPEG"
    assert Image.open(io.BytesIO(smaller(Image.new("RGB", (1, 1)), 0.1))).size == (1, 1)


def test_who_waits_in_the_background_is_asked_about_by_all_and_is_no_load(judge):
    overload(judge)
    for _ in range(2 * LEAST):
        assert verdict(judge, BACKGROUND).path == ("one", "two")
    assert judge.progress().course.changes == 0


def test_without_a_target_or_a_choice_everybody_is_asked():
    for pilot in (Pilot(("a", "b"), 1, None), Pilot(("a",), 1, 100.0), Pilot(("far", "own"), 2, 100.0)):
        for _ in range(20):
            pilot.answered(1.0, 1e6, 1e6)
        assert pilot.lets("b", 1.0) and pilot.state() == CourseState()


async def test_the_engine_tells_its_course_and_why_nobody_leaves_early():
    config = EngineConfig(Description("mine", ({"kind": "a"}, {"kind": "b"})), device="cpu", p95_ms=1000.0)
    async with running(ThreadEngine(config, build=lambda spec, device: Says(spec["kind"]))) as engine:
        await engine.submit(ask())
        health = engine.health()
    assert health.course == "whole" and health.never == "no certificate"
    async with running(make("child")) as alone:
        assert (alone.health().course, alone.health().never) == ("", "")


def test_the_sentence_is_told():
    told = []
    planned(Description("mine", ({}, {})), [("a", "1"), ("b", "1")], told=told.append)
    assert told == ["no certificate"]


def test_course_and_exits_are_metrics():
    registry = CollectorRegistry()
    health = EngineHealth(
        True,
        "ready",
        versions={"a": "1", "b": "1"},
        course="first 1",
        course_changes=3,
        never="no certificate",
    )
    registry.register(engine_metrics(lambda: health))
    assert registry.get_sample_value("svm_engine_course", {"state": "first 1"}) == 1
    assert registry.get_sample_value("svm_engine_course_changes_total") == 3
    assert registry.get_sample_value("svm_engine_early_exits") == 0


@pytest.mark.parametrize("within_s", [1.0, 7.5, 30.0])
def test_members_are_given_up_before_anybody_is_refused(within_s):
    """However short the deadline, and whatever p95 is asked for."""
    forecast, book, admitted = Forecast(0.0, 0.01, high=1.0, decode=0.0), Book(10_000), 0
    with pytest.raises(Shed):
        while True:
            book.admit(forecast, 0.0, within_s, 1)
            book.add(within_s, 1)
            admitted += 1
    assert held_ms(1e6, within_s) < forecast.backlog(admitted) * 1e3 < within_s * 1e3
    assert held_ms(100.0, within_s) == 100.0 and held_ms(None, within_s) is None

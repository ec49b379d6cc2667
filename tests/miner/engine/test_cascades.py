"""Several members in one engine: joint, guided and elsewhere; slow, absent and wrong ones cost no verdict."""

from __future__ import annotations

import asyncio
import json
import math
import random
import threading
import time

import pytest
from engine_helpers import picture
from hypothesis import given
from hypothesis import strategies as st

from miner.engine.judge import Judge
from miner.engine.plan import planned
from miner.engine.remote import Remote
from models.cascade import Plan
from models.core import Box, Evidence, Request
from models.description import Description, DescriptionError, decide, read
from models.imaging.header import Limits
from models.vlm import Absent

LIMITS = Limits(2**22, 25_000_000)


class Says:
    """A local tier that always says the same, and remembers what it was shown."""

    version = "1"

    def __init__(self, name, log_odds=1.0, *, boxes=(), joint=False, guided=False, wait_s=0.0, shape=None):
        self.name, self.log_odds, self.boxes, self.wait_s, self.shape = name, log_odds, boxes, wait_s, shape
        self.joint, self.guided = joint, guided
        self.seen = []

    def prepare(self, image, boxes=None):
        return (image.size, boxes)

    def evidence(self, batch):
        self.seen.append(list(batch))
        time.sleep(self.wait_s)
        said = [Evidence(self.name, self.version, self.log_odds, boxes=self.boxes) for _ in batch]
        return said if self.shape is None else self.shape(said)


class Elsewhere:
    """A remote member with a latency in seconds, or an error, per call."""

    version = "far#1"

    def __init__(self, answer, name="vlm", log_odds=2.0):
        self.name, self._answer, self.log_odds = name, answer, log_odds
        self.views = []

    async def evidence(self, views, deadline, request_id):
        self.views.append(len(views))
        wait = self._answer()
        if isinstance(wait, Exception):
            raise wait
        await asyncio.sleep(wait)
        return Evidence(self.name, self.version, self.log_odds)


class Running:
    """A started judge; `ask` waits for the verdict."""

    def __init__(self, *tiers, plan=None, clock=time.monotonic):
        more = {} if plan is None else {"plan": lambda members: plan}
        self.judge = Judge(tiers, limits=LIMITS, broken=print, clock=clock, **more)

    def __enter__(self):
        self.judge.start()
        return self

    def __exit__(self, *_):
        self.judge.stop()

    def submit(self, views=1, within=30.0):
        done, outcomes = threading.Event(), []
        request = Request("r", "us", "them", (picture(100),) * views, time.monotonic() + within)
        self.judge.submit(request, lambda outcome: (outcomes.append(outcome), done.set()))
        return done, outcomes

    def ask(self, views=1, within=30.0):
        done, outcomes = self.submit(views, within)
        assert done.wait(60.0)
        return outcomes[0]


def far(answer, **more):
    member = Elsewhere(answer, **more)
    return Remote(member.name, lambda: member), member


def test_members_speak_in_order_and_their_words_add_up():
    with Running(Says("a", 1.0), Says("b", -0.25)) as running:
        verdict = running.ask()
    assert verdict.path == ("a", "b") and verdict.log_odds == pytest.approx(0.75)
    assert verdict.evidence == {"a": 1.0, "b": -0.25} and not verdict.certified


def test_a_joint_member_gets_all_views_at_once_and_others_get_each():
    one, all_ = Says("one"), Says("all", joint=True)
    with Running(one, all_) as running:
        running.ask(views=3)
    assert len(one.seen[-1]) == 3
    assert len(all_.seen[-1]) == 1 and len(all_.seen[-1][0]) == 3


def test_a_guided_member_is_shown_where_others_saw_something_in_that_view():
    box = Box(0, "cone", 0.9, 0.1, 0.2, 0.3, 0.4)
    guided = Says("zoom", guided=True)
    with Running(Says("finder", boxes=(box,)), guided) as running:
        verdict = running.ask(views=2)
    boxes = [seen for _, seen in guided.seen[-1]]
    assert [[each.view for each in view] for view in boxes] == [[0], [1]]
    assert [each.view for each in verdict.boxes] == [0, 1]
    assert verdict.notes == ("stage:active",)


def test_a_member_elsewhere_gets_the_encoded_views_and_its_word_counts():
    remote, member = far(lambda: 0.0)
    with Running(Says("local", 1.0), remote) as running:
        verdict = running.ask(views=2)
        assert running.judge.versions == {"local": "1", "vlm": "far#1"}
    assert verdict.path == ("local", "vlm") and verdict.log_odds == pytest.approx(3.0)
    assert member.views == [2]


@pytest.mark.parametrize("error", [Absent("unreachable"), RuntimeError("a bug in a client")])
def test_a_member_elsewhere_that_is_away_costs_its_word_only(error):
    remote, _ = far(lambda: error)
    with Running(remote, Says("local", 1.0)) as running:
        verdict = running.ask()
    assert verdict.path == ("local",) and verdict.log_odds == 1.0 and "failed:vlm" in verdict.notes


def test_a_slow_member_elsewhere_holds_up_nobody_and_the_deadline_answers():
    waits, asked = iter([600.0, 0.0]), threading.Event()

    def wait() -> float:
        asked.set()
        return next(waits)

    remote, _ = far(wait)
    with Running(Says("local", 1.0), remote) as running:
        slow, outcomes = running.submit(within=3.0)
        assert asked.wait(30.0)  # else the second might be the slow one
        assert running.ask().path == ("local", "vlm")
        assert slow.wait(30.0)
    assert outcomes[0].path == ("local",) and "deadline" in outcomes[0].notes


@pytest.mark.parametrize("shape", [lambda said: said[:-1], lambda said: said * 2, lambda said: []])
def test_a_member_that_gives_the_wrong_number_of_answers_is_absent(shape):
    odd = Says("odd")
    with Running(Says("good", 1.0), odd, Says("last", 1.0)) as running:
        odd.shape = shape
        verdict = running.ask()
    assert verdict.path == ("good", "last") and verdict.log_odds == 2.0


def test_a_member_that_has_no_time_is_left_out_at_once():
    slow = Says("slow", wait_s=0.4)
    with Running(Says("fast", 1.0), slow) as running:
        asked = len(slow.seen)
        start = time.monotonic()
        verdict = running.ask(within=0.35)
        assert time.monotonic() < start + 30
    assert verdict.path == ("fast",) and "no_time:slow" in verdict.notes
    assert len(slow.seen) == asked and not verdict.certified


def test_a_cascade_of_servers_alone_is_refused():
    remote, _ = far(lambda: 0.0)
    with pytest.raises(ValueError, match="a member of its own"):
        Judge([remote], limits=LIMITS, broken=print)


def test_the_plan_decides_how_words_are_fused():
    with Running(Says("a", 1.0), Says("b", 5.0), plan=Plan(fuse=lambda said: -2.0)) as running:
        verdict = running.ask()
    assert verdict.log_odds == -2.0 and verdict.prediction < 0.5


class Clock:
    """Virtual seconds since the machine's own start, advanced by the test."""

    def __init__(self):
        self.now = time.monotonic()

    def __call__(self):
        return self.now


STEP_S, WINDOW_S, CHALLENGES = 0.25, 7.5, 5000


def test_whatever_a_heavy_tailed_member_does_every_challenge_is_answered_by_its_deadline():
    chance, clock = random.Random(7), Clock()
    answered, latencies = {}, []

    async def until(at):
        while clock() < at:
            await asyncio.sleep(0.005)

    class HeavyTailed(Elsewhere):
        async def evidence(self, views, deadline, request_id):
            latency = min(30.0, 0.4 * chance.paretovariate(0.8))
            latencies.append(latency)
            await until(min(deadline, clock() + latency))
            if clock() >= deadline:
                raise Absent("deadline")
            return Evidence(self.name, self.version, 1.0)

    member = HeavyTailed(lambda: 0.0)
    with Running(Says("local", 1.0), Remote("vlm", lambda: member), clock=clock) as running:
        deadlines, number = {}, 0
        while number < CHALLENGES or len(answered) < CHALLENGES:
            for _ in range(min(50, CHALLENGES - number)):
                deadlines[number] = clock() + WINDOW_S
                request = Request(str(number), "us", "them", (picture(100, (8, 8)),), deadlines[number])
                running.judge.submit(
                    request, lambda outcome, n=number: answered.setdefault(n, (clock(), outcome))
                )
                number += 1
            caught_up(running.judge, clock, deadlines, answered)
            clock.now += STEP_S
    assert max(latencies) == 30.0 and len(answered) == CHALLENGES
    late = [n for n, (at, _) in answered.items() if at > deadlines[n] + STEP_S]
    assert not late
    assert all(outcome.path[0] == "local" for _, outcome in answered.values())
    spoken = sum(outcome.path == ("local", "vlm") for _, outcome in answered.values())
    assert 0.5 < spoken / CHALLENGES < 0.99


def caught_up(judge, clock, deadlines, answered):
    """Wait, in real time, until the judge has done what it can at this virtual moment."""
    end = time.monotonic() + 60.0
    while time.monotonic() < end:
        due = [n for n, deadline in deadlines.items() if deadline <= clock() and n not in answered]
        if not due and judge.progress().queued == 0:
            return
        time.sleep(0.002)
    raise AssertionError("the judge does not keep up")


def test_a_folder_describes_a_cascade(tmp_path):
    write(tmp_path, {"name": "mine", "tiers": [{"kind": "trivial"}], "fusion": None, "audit": 0.02})
    described = read(tmp_path)
    assert described == Description("mine", ({"kind": "trivial"},), audit=0.02)
    assert Description(**json.loads(json.dumps(described.to_json()))).name == "mine"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"tiers": [{"kind": "trivial"}]}, "name"),
        ({"name": "x", "tiers": []}, "must name tiers"),
        ({"name": "x", "tiers": [{"path": "y"}]}, "each with its kind"),
        ({"name": "x", "tiers": [{"kind": "trivial"}], "fusion": "gone.json"}, "gone.json is not there"),
        ({"name": "x", "tiers": [{"kind": "trivial"}], "audit": 2}, "from 0 to 1"),
        (["nonsense"], "describes no cascade"),
    ],
)
def test_a_folder_that_describes_none_is_refused_by_what_is_wrong(tmp_path, content, said):
    write(tmp_path, content)
    with pytest.raises(DescriptionError, match=said):
        read(tmp_path)


def test_without_a_certificate_nobody_leaves_early_and_the_log_says_why():
    described = Description("mine", ({"kind": "trivial"}, {"kind": "trivial"}))
    plan, never = decide(described, [("a", "1"), ("b", "1")])
    assert plan.certificate is None and never == "no certificate"
    assert planned(described, [("a", "1"), ("b", "1")]).certificate is None


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=4), st.randoms())
def test_the_order_of_cameras_changes_nothing(log_odds, chance):
    from models.fusion.scene import together

    views = [Evidence("a", "1", each) for each in log_odds]
    shuffled = list(views)
    chance.shuffle(shuffled)
    assert together(views).log_odds == together(shuffled).log_odds
    assert math.isfinite(together(views).log_odds)


def write(folder, content):
    (folder / "cascade.json").write_text(json.dumps(content))

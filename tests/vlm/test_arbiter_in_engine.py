"""A cascade that names an arbiter asks it only when the others disagree and are unsure."""

from __future__ import annotations

import threading
import time

import pytest

from miner.engine import picture
from miner.engine.judge import Judge
from miner.engine.tiers import Remote, build_all
from models.cascade import PLAIN, Plan
from models.core import Evidence, Request
from models.imaging.header import Limits


class Says:
    """A local member with one opinion."""

    version = "1"

    def __init__(self, name: str, log_odds: float) -> None:
        self.name, self._log_odds = name, log_odds

    def prepare(self, image: object) -> None:
        return None

    def evidence(self, batch: list[object]) -> list[Evidence]:
        return [Evidence(self.name, self.version, self._log_odds)] * len(batch)


def asked(*tiers, plan=PLAIN):
    limits = Limits(bytes=2**20, pixels=10**6)
    judge = Judge(tiers, limits=limits, plan=lambda members: plan, broken=print)
    judge.start()
    try:
        done, outcomes = threading.Event(), []
        request = Request("r", "us", "them", (picture.png(64),), time.monotonic() + 30.0)
        judge.submit(request, lambda outcome: (outcomes.append(outcome), done.set()))
        assert done.wait(60.0)
        return outcomes[0]
    finally:
        judge.stop()


@pytest.fixture
def arbiter(fake, tmp_path) -> Remote:
    fake.set(top=[["Yes", -0.1], ["No", -3.0]])
    spec = {
        "kind": "arbiter", "url": fake.url, "model": fake.model, "cap": 1.0,
        "price": {"prompt": 2.0, "answer": 8.0}, "purse": str(tmp_path / "purse.json"),
    }  # fmt: skip
    (one,) = build_all([spec], "cpu")
    return one


def test_it_has_the_last_word_on_a_dispute(fake, arbiter):
    verdict = asked(Says("a", 0.8), Says("b", -0.5), arbiter)
    assert verdict.path == ("a", "b", "arbiter") and len(fake.asked) == 1


@pytest.mark.parametrize("second", [0.5, 3.0, -6.0])
def test_it_is_not_paid_for_what_is_plain(fake, arbiter, second):
    """All of one mind, or sure together."""
    verdict = asked(Says("a", 0.8), Says("b", second), arbiter)
    assert verdict.path == ("a", "b") and not fake.asked
    assert "unwanted:arbiter" in verdict.notes


def test_how_sure_the_others_are_is_what_the_cascade_makes_of_them(fake, arbiter):
    """Added up they are sure; a fusion that trusts them less asks."""
    others = Says("a", 3.0), Says("b", -0.5)
    assert asked(*others, arbiter).path == ("a", "b") and not fake.asked
    plan = Plan(lambda evidence: 0.2 * sum(item.log_odds for item in evidence))
    assert asked(*others, arbiter, plan=plan).path == ("a", "b", "arbiter")

"""A learned deferral in the engine: the picture's difficulty is measured and decides who is asked."""

from __future__ import annotations

import threading
import time

import pytest
from engine_helpers import picture

from miner.engine.judge import Judge
from models.cascade import Plan
from models.core import Evidence, Request
from models.deferral import Deferral
from models.gain import GainModel, Logistic
from models.imaging.header import Limits


class Says:
    version = "1"

    def __init__(self, name):
        self.name = name

    def prepare(self, image):
        return image

    def evidence(self, batch):
        return [Evidence(self.name, self.version, 1.0) for _ in batch]


DARKNESS = GainModel(("brightness",), (0.5,), (0.1,), Logistic((-5.0, 0.0), (0.0, -20.0)))
"""Whoever is asked next helps with dark pictures."""


@pytest.fixture
def judge():
    plan = Plan(deferral=Deferral({"two": DARKNESS, "three": DARKNESS}, {"two": 50.0, "three": 10.0}, 0.015))
    judge = Judge(
        [Says("one"), Says("two"), Says("three")],
        limits=Limits(2**22, 10**7),
        plan=lambda members: plan,
        broken=print,
    )
    judge.start()
    yield judge
    judge.stop()


def path(judge, brightness):
    outcomes, done = [], threading.Event()
    asked = Request(f"r{brightness}", "us", "them", (picture(brightness),), time.monotonic() + 60)
    judge.submit(asked, lambda outcome: (outcomes.append(outcome), done.set()))
    assert done.wait(90)
    return outcomes[0].path


def test_a_dark_picture_goes_on_to_whom_gains_most_per_millisecond_and_a_light_one_does_not(judge):
    assert path(judge, 250) == ("one",)
    assert path(judge, 5) == ("one", "three", "two")

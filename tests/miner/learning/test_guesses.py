"""Which pictures get a label that nobody gave: three sure families, borne out by audits."""

from __future__ import annotations

import hashlib

import pytest

from miner.capture import labelled
from miner.jobs.declared import guessing
from miner.jobs.job import Context
from miner.learning.create import kinds_of
from miner.learning.guesses import Guesser
from miner.ledger import LEDGER_NAME, Ledger
from miner.recorder import Recorder
from miner.settings import Learning
from models.description import Description
from models.learn.adaptation.items import Item

KINDS = {"classifier": "classifier", "regions": "regions", "qwen": "vlm", "again": "classifier"}
SURE = {"classifier": 6.0, "regions": 5.5, "qwen": 7.0}
AUDITED = 299
"""The fewest that bound the error by 1 % at 95 %, none of them wrong."""


class Kept:
    """A ledger with pictures in it; their names are such that nobody holds them back for the gate."""

    def __init__(self, folder) -> None:
        self.ledger = Ledger(folder / LEDGER_NAME)
        self.folder = folder
        self._recorder = Recorder([self.ledger], tick_s=0.01)
        self._recorder.start()
        self._count = 0

    def keep(self, evidence=SURE, reason="near", label=None, version="v1") -> str:
        while Item(name := self._name(), self.folder, True).held:
            pass
        data = {"evidence": dict(evidence), "versions": dict.fromkeys(evidence, version)}
        about = {"sha256": name, "at_ns": self._count, "hotkey": "", "challenge": "", "reason": reason}
        about |= {"propensity": 1.0, "prediction": 0.5, "log_odds": 0.0, "file": f"{name}.jpg", "size": 1}
        self.ledger.capture({**about, "phash": "00" * 8, "data": data})
        if label is not None:
            self.ledger.label(name, label, source="review", reviewer="ann")
        return name

    def audited(self, count=AUDITED, wrong=0, version="v1") -> None:
        """Reviewed pictures of the random audit that all families call roadwork, and as many nones."""
        for number in range(count):
            self.keep(reason="audit", label="none" if number < wrong else "roadwork", version=version)
        for _ in range(count):
            self.keep({}, label="none")

    def believed(self) -> dict[str, bool]:
        self.ledger.run(lambda db: None).result(30)
        self.said = Guesser(self.ledger, lambda: KINDS).guess()
        found = labelled(self.folder)
        return {one.sha256: one.roadwork for one in found if one.source == "pseudo"}

    def close(self) -> None:
        self._recorder.stop()
        self.ledger.close()

    def _name(self) -> str:
        self._count += 1
        return hashlib.sha256(self._count.to_bytes(4, "big")).hexdigest()


@pytest.fixture
def pictures(tmp_path):
    found = Kept(tmp_path)
    yield found
    found.close()


def test_what_three_sure_families_agree_on_teaches_once_audits_bear_it_out(pictures):
    name = pictures.keep()
    assert pictures.believed() == {}
    pictures.audited()
    assert pictures.believed() == {name: True}
    assert "1 new" in pictures.said
    pictures.believed()
    assert "0 new, 0 gone" in pictures.said


def test_one_wrong_audit_takes_it_back_and_a_person_goes_first(pictures):
    name, other = pictures.keep(), pictures.keep()
    pictures.audited()
    pictures.ledger.label(other, "unsure", source="review", reviewer="ann")
    assert set(pictures.believed()) == {name}
    pictures.keep(reason="audit", label="none")
    assert pictures.believed() == {}


@pytest.mark.parametrize(
    "evidence",
    [
        {"classifier": 6.0, "regions": 5.5},
        {"classifier": 6.0, "regions": 5.5, "again": 7.0},
        {"classifier": 6.0, "regions": 5.5, "stranger": 7.0},
        {**SURE, "again": -6.0},
        {**SURE, "qwen": 4.0},
    ],
    ids=["two", "one family twice", "an unknown one", "a family at odds with itself", "one is not sure"],
)
def test_fewer_families_or_doubt_teach_nothing(pictures, evidence):
    pictures.audited()
    pictures.keep(evidence)
    assert pictures.believed() == {}


def test_audits_vouch_for_the_versions_that_they_saw(pictures):
    pictures.audited(version="v1")
    pictures.keep(version="v2")
    assert pictures.believed() == {}


def test_pictures_that_were_kept_for_a_reason_vouch_for_nobody(pictures):
    for _ in range(AUDITED):
        pictures.keep(reason="near", label="roadwork")
        pictures.keep({}, label="none")
    pictures.keep()
    assert pictures.believed() == {}


async def test_the_job_is_off_unless_asked_for_and_says_what_came_of_it(pictures):
    guesser = Guesser(pictures.ledger, lambda: KINDS)
    assert guessing(guesser, Learning()) == []
    (job,) = guessing(guesser, Learning(pseudo=True))
    assert (
        await job.run(Context("pseudo", "manual", 0.0))
        == "0 of 0 pictures on which all agree are believed: 0 new, 0 gone"
    )


def test_members_are_known_by_their_names():
    tiers = ({"kind": "classifier"}, {"kind": "vlm", "name": "qwen", "url": "http://h"})
    assert kinds_of(Description("two", tiers)) == {"classifier": "classifier", "qwen": "vlm"}

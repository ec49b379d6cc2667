"""What the jobs of self-improvement do, with the learning processes played."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from miner.alarms import Alarms
from miner.learning.collect import ITEMS, lay_out, sweep
from miner.learning.learner import Learner, Serving
from miner.learning.process import LearningFailed, within
from miner.learning.streams import AUDIT, CONFIDENCE, MISTAKES, NOVELTY, streams
from miner.ledger import Judged, Ledger, events
from miner.ledger.slices import slices
from models.audit import Audit
from models.learn.adaptation.items import read

MADE = {"made": True, "why": "because", "metrics": {"mcc": 0.9}, "before": [], "after": []}
PART = {"name": "review 2026-11", "count": 7, "accuracy": 0.9, "mcc": None}


@dataclass(frozen=True)
class Picture:
    sha256: str
    roadwork: bool = True
    source: str = "review"
    month: str = "2026-11"
    at_ns: int = 1
    gone: bool = False

    @property
    def read(self):
        def bytes_of():
            if self.gone:
                raise OSError("gone")
            return self.sha256.encode()

        return bytes_of


class Played:
    """`answer` by module or kind; `asked` what was started."""

    def __init__(self, **answer):
        self.answer, self.asked, self.items = answer, [], []

    async def __call__(self, module, arguments, data):
        name = arguments[0] if arguments else module.rpartition(".")[2]
        self.asked.append(name)
        if arguments:
            self.items.append(read(Path(arguments[arguments.index("--items") + 1])))
        found = self.answer.get(name, MADE)
        if isinstance(found, Exception):
            raise found
        return found


class House:
    def __init__(self, tmp_path, start, pictures=()):
        self.ledger = Ledger(tmp_path / "ledger.sqlite")
        self.alarms = Alarms(self.ledger.event)
        self.pictures, self.answered, self.offered, self.drifting = list(pictures), [], [], []
        self.serving = Serving(tmp_path / "base", "v1", "MIT")
        self.learner = Learner(
            tmp_path,
            pictures=lambda: self.pictures,
            serving=lambda: self.serving,
            offer=self.offer,
            answered=lambda: self.answered,
            ledger=self.ledger,
            alarms=self.alarms,
            start=start,
            drifting=self.drifting.append,
            fresh=2,
        )

    async def offer(self, tier, folder, facts):
        self.offered.append((tier, dict(facts)))
        return f"version{len(self.offered)}"

    def events(self, kind):
        self.ledger.write(())
        return [one["data"] for one in events(self.ledger.path, kind=kind)]


async def test_a_new_label_is_remembered_once(tmp_path):
    start = Played()
    house = House(tmp_path, start, [Picture("a"), Picture("b", False, gone=True)])
    assert await house.learner.remember() == "because"
    assert await house.learner.remember() == "no new labels"
    house.pictures.append(Picture("c"))
    await house.learner.remember()
    assert start.asked == ["remember", "remember"]
    assert [[one.key for one in items] for items in start.items] == [["a"], ["a", "c"]]


async def test_without_labels_nothing_stays_remembered(tmp_path):
    house = House(tmp_path, Played())
    house.learner.memory.mkdir()
    assert "nothing is remembered" in await house.learner.remember()
    assert not house.learner.memory.exists()


async def test_what_was_laid_open_is_gone_afterwards_also_after_a_failure(tmp_path):
    house = House(tmp_path, Played(head=LearningFailed("died")), [Picture("a")])
    with pytest.raises(LearningFailed):
        await house.learner.learn("head")
    await house.learner.remember()
    assert list((tmp_path / "learning").iterdir()) == []


async def test_a_candidate_is_offered_with_its_facts_and_not_made_twice_from_the_same_labels(tmp_path):
    start = Played()
    house = House(tmp_path, start, [Picture("a")])
    assert await house.learner.learn("head") == "version1: because"
    assert await house.learner.learn("head") == "no new labels"
    assert house.offered == [
        (
            "classifier",
            {"source": "learned (head)", "metrics": {"mcc": 0.9}, "parent": "v1", "licence": "MIT"},
        )
    ]
    assert house.events("learned")[0]["version"] == "version1"
    house.serving = Serving(tmp_path / "base", "v2")
    await house.learner.learn("head")
    assert len(house.offered) == 2


async def test_nothing_to_learn_offers_nothing(tmp_path):
    house = House(tmp_path, Played(head=MADE | {"made": False, "why": "too few"}), [Picture("a")])
    assert await house.learner.learn("head") == "too few"
    assert house.offered == []
    house.serving = None
    assert "nothing can be learned" in await house.learner.learn("full")


async def test_forgetting_is_measured_once_for_each_version(tmp_path):
    house = House(tmp_path, Played(judge=MADE | {"after": [PART]}), [Picture("a")])
    assert await house.learner.measure() == "v1 on 1 slices"
    assert await house.learner.measure() == "nothing new"
    house.ledger.write(())
    (row,) = slices(house.ledger.path)
    assert {name: row[name] for name in ("tier", "version", "slice", "count", "accuracy", "mcc")} == {
        "tier": "classifier",
        "version": "v1",
        "slice": "review 2026-11",
        "count": 7,
        "accuracy": 0.9,
        "mcc": None,
    }


def asked(number, log_odds=3.0, notes=(), sha256=""):
    return Judged(number, sha256, log_odds, notes)


def change(before, after, at=1):
    return {"at": at, "before": before, "after": after}


async def test_drift_for_the_worse_rings_once_hastens_learning_and_ends(tmp_path):
    start = Played(drift={CONFIDENCE: change(3.0, 1.0)})
    house = House(tmp_path, start, [Picture("a")])
    house.answered = [asked(1), asked(2)]
    assert "how sure the answers are: 3, now 1" in await house.learner.drift()
    await house.learner.drift()
    assert len(house.events("drift")) == 1
    assert [row["key"] for row in house.alarms.rows()] == ["drift confidence"]
    assert house.drifting == [True, True]
    assert "after a drift" not in await house.learner.remember()
    house.pictures += [Picture("b"), Picture("c")]
    assert "after a drift: version1" in await house.learner.remember()
    start.answer["drift"] = {CONFIDENCE: None}
    await house.learner.drift()
    assert house.alarms.rows() == []
    assert house.drifting[-1] is False


async def test_a_change_for_the_better_is_no_alarm(tmp_path):
    house = House(tmp_path, Played(drift={CONFIDENCE: change(1.0, 3.0), MISTAKES: change(0.3, 0.1)}))
    house.answered = [asked(1), asked(2)]
    assert await house.learner.drift() == "no change for the worse"
    assert house.alarms.rows() == []


def test_the_streams_come_from_answers_their_notes_and_labels():
    audited = Audit("classifier", False, 0.01).note()
    answered = [
        asked(1, -2.0, ("novelty:1.5",), "a"),
        asked(2, 30.0, (audited,), "b"),
        asked(3, None),
    ]
    found = {name: each.values for name, each in streams(answered, {"a": True, "b": True}).items()}
    assert found == {CONFIDENCE: (2.0, 8.0), NOVELTY: (1.5,), AUDIT: (1.0,), MISTAKES: (1.0, 0.0)}


def test_pictures_are_laid_out_privately_and_pseudo_labels_count_less(tmp_path):
    work = lay_out([Picture("../../x"), Picture("b", source="pseudo")], tmp_path / "learning")
    items = read(work / ITEMS)
    assert all(one.path.parent == work for one in items)
    assert [one.weight for one in items] == [1.0, 0.3]
    assert work.stat().st_mode & 0o077 == 0
    sweep(tmp_path / "learning")
    assert not work.exists()


async def test_a_process_that_hangs_dies_or_talks_nonsense_is_told_from_one_that_answers(
    tmp_path, monkeypatch
):
    (tmp_path / "played.py").write_text(
        "import sys, time\n"
        "what = sys.argv[1]\n"
        "if what == 'hang': time.sleep(60)\n"
        "if what == 'die': sys.exit('it cannot be')\n"
        "print('noise'); print(sys.stdin.read() if what == 'answer' else 'nonsense')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    start = within(20.0)
    assert await start("played", ("answer",), json.dumps({"a": 1}).encode()) == {"a": 1}
    for what, words in (("die", "it cannot be"), ("nonsense", "no answer")):
        with pytest.raises(LearningFailed, match=words):
            await start("played", (what,), b"")
    with pytest.raises(LearningFailed, match="longer than"):
        await within(0.3)("played", ("hang",), b"")

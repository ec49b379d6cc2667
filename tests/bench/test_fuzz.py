"""What once broke stays mended; a little of every fuzz target; and the fuzzer sees what it must see."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

from harness.fuzz import TARGETS, Finding  # noqa: E402
from harness.fuzz import run as running  # noqa: E402
from harness.fuzz.run import Work, rng_of, run  # noqa: E402

CORPUS = ROOT / "tests" / "corpus"
KEPT = sorted(CORPUS.glob("*/*.bin"))
LITTLE = {"requests": 250, "images": 19, "settings": 40, "chain": 40}


@pytest.fixture(scope="module")
def targets():
    return {name: make() for name, make in TARGETS.items()}


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_once_broke_something_no_longer_does(path, targets):
    targets[path.parent.name].judge(path.read_bytes())


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_broken_inputs_of_every_kind_break_nothing(name, targets):
    target = targets[name]
    seen = {target.judge(target.case(rng_of(2, name, number), number)) for number in range(LITTLE[name])}
    assert len(seen) >= 2, "the inputs all end in the same place: they reach nothing"


def test_requests_reach_an_answer_and_every_kind_of_refusal(targets):
    target = targets["requests"]
    seen = {target.judge(target.case(rng_of(3, "requests", n), n)).split(" ")[0] for n in range(400)}
    assert {"200", "400", "401", "403", "422"} <= seen


class Brittle:
    """Raises at "bad", dies at case 7."""

    def case(self, rng, number):
        return b"die" if number == 7 else b"a bad case" if number == 3 else b"good %d" % rng.randrange(9)

    def judge(self, case):
        if case == b"die":
            os.kill(os.getpid(), signal.SIGKILL)
        if b"bad" in case:
            raise Finding("bad")
        return "fine"


def test_a_finding_and_a_crash_are_kept_small_and_the_run_goes_on(monkeypatch, tmp_path):
    monkeypatch.setitem(running.TARGETS, "brittle", Brittle)
    seen = run(Work("brittle", 1, 20), tmp_path, lambda _: None)
    assert [(each.number, each.what.splitlines()[-1]) for each in seen.findings] == [
        (3, "Finding: bad"),
        (7, "the process died: SIGKILL"),
    ]
    assert {path.read_bytes() for path in (tmp_path / "brittle").iterdir()} == {b"bad", b"die"}
    assert seen.cases == 20
    assert seen.outcomes["fine"] == 15, "what a process saw since its last report is lost with it"

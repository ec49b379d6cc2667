"""Which label counts for a kept picture, and how it is read."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from miner.capture import NoPicture, labelled, picture
from miner.capture.store import Store
from miner.ledger import LEDGER_NAME, Ledger

JULY = 1_783_000_000_000_000_000


def keep(data: Path, ledger: Ledger, content: bytes, at_ns: int = JULY) -> str:
    sha256 = hashlib.sha256(content).hexdigest()
    file, size = Store(data).write(sha256, content)
    ledger.capture(
        {
            **{"sha256": sha256, "at_ns": at_ns, "hotkey": "ours", "challenge": "c-1", "reason": "near"},
            **{"propensity": 1.0, "prediction": 0.5, "log_odds": 0.0, "file": file, "size": size},
            **{"phash": "00" * 8, "data": {}},
        }
    )
    return sha256


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / LEDGER_NAME, hotkey="ours")


def test_the_most_trusted_source_decides(tmp_path: Path, ledger: Ledger) -> None:
    first, second = keep(tmp_path, ledger, b"one"), keep(tmp_path, ledger, b"two", JULY + 1)
    keep(tmp_path, ledger, b"unlabelled")
    ledger.label(first, "none", source="pseudo", reviewer="agreement")
    ledger.label(first, "roadwork", source="testnet", reviewer="validator")
    ledger.label(second, "none", source="testnet", reviewer="validator")
    ledger.label(second, "roadwork", source="review", reviewer="ann")
    ledger.write(())
    found = labelled(tmp_path)
    assert [(one.sha256, one.roadwork, one.source) for one in found] == [
        (first, True, "testnet"),
        (second, True, "review"),
    ]
    assert found[0].month == "2026-07"
    assert [one.read() for one in found] == [b"one", b"two"]


def test_people_who_disagree_or_are_unsure_give_no_label(tmp_path: Path, ledger: Ledger) -> None:
    split, unsure = keep(tmp_path, ledger, b"one"), keep(tmp_path, ledger, b"two")
    ledger.label(split, "none", source="review", reviewer="ann")
    ledger.label(split, "roadwork", source="review", reviewer="bob")
    ledger.label(unsure, "unsure", source="review", reviewer="ann")
    ledger.label(unsure, "roadwork", source="pseudo", reviewer="agreement")
    ledger.write(())
    assert labelled(tmp_path) == []


def test_a_reviewer_may_change_their_mind_and_two_may_be_asked_for(tmp_path: Path, ledger: Ledger) -> None:
    sha256 = keep(tmp_path, ledger, b"one")
    ledger.label(sha256, "none", source="review", reviewer="ann", at_ns=1)
    ledger.label(sha256, "roadwork", source="review", reviewer="ann", at_ns=2)
    ledger.write(())
    assert [one.roadwork for one in labelled(tmp_path)] == [True]
    assert labelled(tmp_path, reviewers=2) == []
    ledger.label(sha256, "roadwork", source="review", reviewer="bob", at_ns=3)
    ledger.write(())
    assert [one.roadwork for one in labelled(tmp_path, reviewers=2)] == [True]


def test_a_picture_that_has_gone_says_so_and_no_ledger_means_no_labels(tmp_path: Path) -> None:
    assert labelled(tmp_path) == []
    with pytest.raises(NoPicture):
        picture(tmp_path, "0" * 64)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "", "A" * 64, "0" * 63, "0" * 64 + "/", "0" * 64 + "\n"]
)
def test_only_a_sha256_names_a_picture(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="sha256"):
        picture(tmp_path, name)


def test_a_machine_says_the_same_only_once(ledger: Ledger) -> None:
    for _ in range(3):
        ledger.label("0" * 64, "none", source="testnet", reviewer="v")
        ledger.write(())
    assert ledger.run(lambda db: db.execute("SELECT count(*) FROM labels").fetchone()).cancel()
    count = ledger.run(lambda db: db.execute("SELECT count(*) FROM labels").fetchone()[0])
    ledger.write(())
    assert count.result(0) == 1


def test_what_only_our_models_say_can_be_left_out(tmp_path: Path, ledger: Ledger) -> None:
    guessed, told = keep(tmp_path, ledger, b"one"), keep(tmp_path, ledger, b"two")
    ledger.label(guessed, "none", source="pseudo", reviewer="agreement")
    ledger.label(told, "none", source="testnet", reviewer="validator")
    ledger.write(())
    assert {one.sha256 for one in labelled(tmp_path)} == {guessed, told}
    assert [one.sha256 for one in labelled(tmp_path, guesses=False)] == [told]

"""Reading what each validator asked and got, as its scoring sees it. Readers raise LedgerUnreadable."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from miner.ledger.access import reading
from miner.ledger.labels import FIELDS, NONE, REVIEW, ROADWORK, TESTNET, VALIDATOR, Label, agreed, by_picture
from miner.ledger.pairs import pairs

NO_ANSWER = -1.0
TESTNET_NOTE = "testnet_label:"
TOLD = (TESTNET, VALIDATOR)
"""Sources that repeat what the validator itself scored us by."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One challenge as its validator scores it.

    `prediction`  what it got in time, -1.0 for nothing; `truth` 1 roadwork, 0 none, None where not known.
    """

    at_ns: int
    prediction: float
    truth: int | None


def histories(path: Path, hotkey: str, limit: int) -> dict[str, list[Asked]]:
    """Validator -> its newest challenges to our `hotkey`, oldest first."""
    with reading(path) as db:
        if not db:
            return {}
        return {caller: _history(db, hotkey, caller, limit) for _, caller in pairs(db, hotkey)}


def last_hotkey(path: Path) -> str | None:
    """Ours, as the newest challenge has it; None without any."""
    query = "SELECT hotkey FROM challenges ORDER BY at_ns DESC LIMIT 1"
    with reading(path) as db:
        row = db.execute(query).fetchone() if db else None
    return row[0] if row else None


def _history(db: sqlite3.Connection, hotkey: str, caller: str, limit: int) -> list[Asked]:
    query = (
        "SELECT at_ns, outcome, prediction, sha256, notes FROM challenges WHERE hotkey = ? AND caller = ? "
        "ORDER BY at_ns DESC, rowid DESC LIMIT ?"
    )
    rows = db.execute(query, (hotkey, caller, limit)).fetchall()[::-1]
    said = _truths(db, {row[3] for row in rows if row[3]})
    return [
        Asked(at, prediction if outcome == "answered" else NO_ANSWER, _truth(notes, said.get(sha256)))
        for at, outcome, prediction, sha256, notes in rows
    ]


def _truth(notes: str, said: int | None) -> int | None:
    """What the challenge itself told, else what the labels say."""
    if TESTNET_NOTE in notes:
        for note in json.loads(notes):
            if note.startswith(TESTNET_NOTE):
                return int(note.removeprefix(TESTNET_NOTE))
    return said


def _truths(db: sqlite3.Connection, pictures: Iterable[str]) -> dict[str, int]:
    """sha256 -> 1 or 0, of the pictures with a label that counts."""
    found: list[Any] = []
    known = list(pictures)
    for start in range(0, len(known), 500):
        some = known[start : start + 500]
        marks = ",".join("?" * len(some))
        query = f"SELECT {','.join(FIELDS)} FROM labels WHERE sha256 IN ({marks}) AND undone = 0"
        found += db.execute(query + " ORDER BY at_ns, rowid", some).fetchall()
    counting = {sha256: _counts(given) for sha256, given in by_picture(Label(*row) for row in found).items()}
    words = {ROADWORK: 1, NONE: 0}
    return {sha256: words[one.label] for sha256, one in counting.items() if one and one.label in words}


def _counts(given: Sequence[Label]) -> Label | None:
    """What the validator scored by goes before what people see; our models' guesses never count."""
    told = [one for one in given if one.source in TOLD]
    return agreed(told or [one for one in given if one.source == REVIEW])

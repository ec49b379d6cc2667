"""Labels in the ledger: what they are, and which one counts for a picture. Readers raise LedgerUnreadable;
`guessed` makes an errand for `Ledger.run`."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from miner.ledger.access import reading

ROADWORK, NONE, UNSURE = "roadwork", "none", "unsure"
LABELS = (ROADWORK, NONE, UNSURE)
REVIEW, TESTNET, VALIDATOR, PSEUDO = "review", "testnet", "validator", "pseudo"
SOURCES = (REVIEW, TESTNET, VALIDATOR, PSEUDO)
"""Most trusted first: a person, the test network's truth, the validators' published truth, our own models."""

FIELDS = ("at_ns", "sha256", "label", "source", "reviewer", "seconds")


@dataclass(frozen=True, slots=True)
class Label:
    """One row that was not undone. `at_ns` when it was given; `seconds` it took a reviewer."""

    at_ns: int
    sha256: str
    label: str
    source: str
    reviewer: str
    seconds: float | None = None


def labels(path: Path, *, source: str | None = None) -> list[Label]:
    """Every label that was not undone, of one source or of all, oldest first."""
    where, bound = ("AND source = ?", (source,)) if source else ("", ())
    query = f"SELECT {','.join(FIELDS)} FROM labels WHERE undone = 0 {where} ORDER BY at_ns, rowid"
    with reading(path) as db:
        return [Label(*row) for row in db.execute(query, bound)] if db else []


def agreed(given: Sequence[Label], reviewers: int = 1) -> Label | None:
    """The label that counts for one picture, from all of its labels in the order they were given.

    The most trusted source that has spoken decides, and nobody behind it. Of each who spoke for it the newest
    label stands; all must say the same, "unsure" says nothing, and `reviewers` persons must have looked where
    the source is review. Their newest label is the answer, None when there is no agreement.
    """
    source = next((name for name in SOURCES if any(one.source == name for one in given)), None)
    newest = {one.reviewer: one for one in given if one.source == source}
    voices = sorted(newest.values(), key=lambda one: one.at_ns)
    words = {one.label for one in voices}
    if len(words) != 1 or UNSURE in words or (source == REVIEW and len(voices) < reviewers):
        return None
    return voices[-1]


def by_picture(given: Iterable[Label]) -> dict[str, list[Label]]:
    """sha256 -> its labels, in the order given."""
    ordered = sorted(given, key=lambda one: one.sha256)  # stable: the order within a picture stays
    return {sha256: list(group) for sha256, group in groupby(ordered, key=lambda one: one.sha256)}


def captured_labels(path: Path) -> list[tuple[Label, int, str]]:
    """Labels of kept pictures, oldest first: (label, the picture's at_ns, its file's name)."""
    query = (
        f"SELECT {','.join('l.' + name for name in FIELDS)}, c.at_ns, c.file "
        "FROM labels l JOIN captures c ON c.sha256 = l.sha256 WHERE l.undone = 0 ORDER BY l.at_ns, l.rowid"
    )
    with reading(path) as db:
        rows: list[Any] = db.execute(query).fetchall() if db else []
    return [(Label(*row[:-2]), row[-2], row[-1]) for row in rows]


def guessed(found: Mapping[str, str]) -> Callable[[sqlite3.Connection], tuple[int, int]]:
    """Puts these labels (sha256 -> label) of our own models in the place of all that they gave before; gives
    how many are new, and how many were taken back."""

    def work(db: sqlite3.Connection) -> tuple[int, int]:
        query = "SELECT rowid, sha256, label FROM labels WHERE source = ? AND undone = 0"
        before = db.execute(query, (PSEUDO,)).fetchall()
        gone = [(number,) for number, name, label in before if found.get(name) != label]
        stands = {name for _, name, label in before if found.get(name) == label}
        new = [(time.time_ns(), name, label, PSEUDO) for name, label in found.items() if name not in stands]
        db.execute("BEGIN IMMEDIATE")
        try:
            db.executemany("UPDATE labels SET undone = 1 WHERE rowid = ?", gone)
            db.executemany("INSERT INTO labels VALUES (?, '', ?, ?, ?, 'models', NULL, 0)", new)
            db.execute("COMMIT")
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
        return len(new), len(gone)

    return work

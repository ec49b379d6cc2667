"""Kept pictures in the ledger. Readers raise LedgerUnreadable; the rest are errands for `Ledger.run`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from miner.ledger.access import reading
from miner.ledger.labels import PSEUDO, REVIEW, UNSURE

COLUMNS = (
    *("sha256", "at_ns", "reason", "propensity", "prediction", "log_odds"),
    *("file", "size", "phash", "data"),
)


@dataclass(frozen=True, slots=True)
class Kept:
    """One kept picture. `reason` policies joined by commas; `size` bytes on disk; `mark` 64-bit fingerprint;
    `prediction` and `log_odds` the answer given."""

    sha256: str
    at_ns: int
    reason: str
    propensity: float
    prediction: float | None
    log_odds: float | None
    file: str
    size: int
    mark: int
    text: str

    @property
    def data(self) -> dict[str, Any]:
        """Policies that applied with their probabilities, what each member said, size of the picture. Decoded
        when asked for: few who read thousands of rows need it."""
        found: dict[str, Any] = json.loads(self.text)
        return found


def kept(path: Path) -> list[Kept]:
    """All of them, oldest first."""
    query = f"SELECT {','.join(COLUMNS)} FROM captures ORDER BY at_ns, sha256"
    with reading(path) as db:
        rows: list[Any] = db.execute(query).fetchall() if db else []
    return [_kept(row) for row in rows]


def _kept(row: Sequence[Any]) -> Kept:
    values = dict(zip(COLUMNS, row, strict=True))
    mark, text = int(values.pop("phash"), 16), values.pop("data")
    return Kept(**values, mark=mark, text=text)


class Waiting(NamedTuple):
    """A kept picture that waits for a reviewer; see `Kept`. `begun` whether somebody has looked at it."""

    sha256: str
    at_ns: int
    reason: str
    propensity: float
    prediction: float | None
    log_odds: float | None
    begun: bool


def waiting(path: Path, reviewer: str = "", reviewers: int = 1) -> list[Waiting]:
    """Oldest first, those that `reviewer` has not seen, nor `reviewers` persons, and of which nobody else
    but our own models has said what they show. One statement: a reviewer waits for it at every picture."""
    query = """
        SELECT c.sha256, c.at_ns, c.reason, c.propensity, c.prediction, c.log_odds, count(l.sha256) > 0
        FROM captures c LEFT JOIN labels l ON l.sha256 = c.sha256 AND l.undone = 0 AND l.source <> ?
        GROUP BY c.sha256
        HAVING total(l.source <> ?) = 0 AND total(l.reviewer = ?) = 0 AND count(DISTINCT l.reviewer) < ?
        ORDER BY c.at_ns, c.sha256
    """
    with reading(path) as db:
        rows: list[Any] = db.execute(query, (PSEUDO, REVIEW, reviewer, reviewers)).fetchall() if db else []
    return [Waiting(*row) for row in rows]


def gold(path: Path) -> set[str]:
    """Pictures whose label somebody but our own models gave."""
    query = "SELECT DISTINCT sha256 FROM labels WHERE undone = 0 AND source != ? AND label != ?"
    with reading(path) as db:
        return {row[0] for row in db.execute(query, (PSEUDO, UNSURE))} if db else set()


@dataclass(frozen=True, slots=True)
class Totals:
    """Of all kept pictures: how many, their bytes on disk, when the oldest was sent (None without any)."""

    count: int
    size: int
    oldest_ns: int | None


def totals(path: Path) -> Totals:
    query = "SELECT count(*), total(size), min(at_ns) FROM captures"
    with reading(path) as db:
        count, size, oldest = db.execute(query).fetchone() if db else (0, 0, None)
    return Totals(count, int(size), oldest)


def unlabelled(path: Path) -> int:
    """How many of them nobody but our own models has labelled."""
    query = (
        "SELECT count(*) FROM captures c WHERE NOT EXISTS "
        "(SELECT 1 FROM labels l WHERE l.sha256 = c.sha256 AND l.undone = 0 AND l.source != ?)"
    )
    with reading(path) as db:
        return int(db.execute(query, (PSEUDO,)).fetchone()[0]) if db else 0


def forgotten(rows: Sequence[tuple[str, int]]) -> Callable[[sqlite3.Connection], int]:
    """Deletes the rows of these (sha256, at_ns), overwriting what they held; gives the number deleted.

    With the time, since the same picture may have been kept anew before this is done.
    """

    def work(db: sqlite3.Connection) -> int:
        return _delete(db, "DELETE FROM captures WHERE sha256 = ? AND at_ns = ?", rows)

    return work


def purged(db: sqlite3.Connection) -> tuple[int, int]:
    """Deletes every row, overwriting what they held, also in the write-ahead log: rows before and after."""
    before = _count(db)
    _delete(db, "DELETE FROM captures", [()])
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return before, _count(db)


def _delete(db: sqlite3.Connection, statement: str, bound: Iterable[tuple[Any, ...]]) -> int:
    db.execute("PRAGMA secure_delete = ON")
    try:
        db.execute("BEGIN IMMEDIATE")
        gone = db.executemany(statement, bound).rowcount
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
        db.execute("PRAGMA secure_delete = OFF")
    return gone


def _count(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM captures").fetchone()[0])

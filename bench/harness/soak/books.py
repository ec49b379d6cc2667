"""Whether the ledger says what the validators saw: row by row, over every file that ever was the ledger."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from harness.soak.load import Sent
from miner.ledger import LEDGER_NAME

SECOND_S = 1.0
"""So much a SIGKILL may take away."""
CLOSE = 1e-6
COLUMNS = "id, sha256, caller, outcome, prediction"

Row = tuple[str, str, str, str, float | None]


@dataclass(frozen=True, slots=True)
class Books:
    """`answered` challenges of the record; `rows` answered ones of the ledger.

    `missing`   answered and in no file, `killed` those among them of the last second before a SIGKILL.
    `extra`     rows of an answer that nobody got, `cut` those among them that were in flight when the front
                was killed or stood still.
    `different` rows with another prediction than the caller's.
    `files`     how many files held them; `unreadable` rows on damaged pages.
    """

    answered: int
    rows: int
    missing: int
    killed: int
    extra: int
    cut: int
    different: int
    files: int
    unreadable: int

    @property
    def failures(self) -> list[str]:
        found = []
        if self.missing > self.killed + self.unreadable:
            found.append(f"{self.missing - self.killed - self.unreadable} answers are in no ledger")
        if self.extra > self.cut:
            found.append(f"{self.extra - self.cut} rows of answers that nobody got")
        if self.different:
            found.append(f"{self.different} rows with another prediction than was sent")
        return found


def compare(
    sent: Sequence[Sent],
    data: Path,
    callers: dict[str, str],
    kills: Sequence[float],
    cuts: Sequence[tuple[float, float]],
    unfinished: Set[str] = frozenset(),
) -> Books:
    """`callers` ss58 -> name, of the honest ones; `kills` and `cuts` (from, to) in monotonic seconds;
    `unfinished` pictures whose answer nobody waited for in the end."""
    rows, unreadable, files = _read(data)
    ours = {row[1]: row for row in rows.values() if row[2] in callers and row[3] == "answered"}
    got = {one.sha256: one for one in sent if one.outcome == "answered"}
    others = {one.sha256: one for one in sent if one.outcome != "answered"}
    missing = [one for digest, one in got.items() if digest not in ours]
    extra = [others.get(digest) for digest in ours if digest not in got and digest not in unfinished]
    return Books(
        answered=len(got),
        rows=len(ours),
        missing=len(missing),
        killed=sum(any(at - SECOND_S <= one.done_s <= at + 0.1 for at in kills) for one in missing),
        extra=len(extra),
        cut=sum(one is not None and in_flight(one, cuts) for one in extra),
        different=sum(
            abs((ours[d][4] or 0.0) - one.prediction) > CLOSE for d, one in got.items() if d in ours
        ),
        files=files,
        unreadable=unreadable,
    )


def in_flight(one: Sent, cuts: Sequence[tuple[float, float]]) -> bool:
    """Whether it was under way in one of these times."""
    return any(one.asked_s <= end and one.done_s >= begin for begin, end in cuts)


def _read(data: Path) -> tuple[dict[str, Row], int, int]:
    """Id -> row, how many could not be read, and the number of files."""
    rows: dict[str, Row] = {}
    unreadable = 0
    files = [
        path for path in sorted(data.glob(f"{LEDGER_NAME}*")) if not path.name.endswith(("-wal", "-shm"))
    ]
    for path in files:
        with closing(sqlite3.connect(path)) as db:
            for row in _rows(db):
                if row is None:
                    unreadable += 1
                else:
                    rows[row[0]] = row
    return rows, unreadable, len(files)


def _rows(db: sqlite3.Connection) -> Iterator[Row | None]:
    """In order; None for each row that cannot be read."""
    last = db.execute("SELECT max(rowid) FROM challenges NOT INDEXED").fetchone()[0] or 0
    at = 0
    while at < last:
        try:
            found = db.execute(
                f"SELECT rowid, {COLUMNS} FROM challenges NOT INDEXED WHERE rowid > ? ORDER BY rowid", (at,)
            )
            for number, *row in found:
                yield tuple(row)
                at = number
            return
        except sqlite3.DatabaseError:
            yield from _one(db, at + 1)
            at += 1


def _one(db: sqlite3.Connection, number: int) -> Iterator[Row | None]:
    try:
        yield from db.execute(f"SELECT {COLUMNS} FROM challenges NOT INDEXED WHERE rowid = ?", (number,))
    except sqlite3.DatabaseError:
        yield None


def tally(sent: Sequence[Sent], cuts: Sequence[tuple[float, float]]) -> Counter[str]:
    """Outcomes; what was lost in flight at a SIGKILL or SIGSTOP is "cut"."""
    return Counter("cut" if one.outcome == "lost" and in_flight(one, cuts) else one.outcome for one in sent)

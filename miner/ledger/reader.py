"""Reading the ledger: every function opens the file read-only, so that it can never disturb the writer.

All of them raise LedgerUnreadable.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from miner.ledger.access import reading
from miner.ledger.pairs import Pair, pairs
from miner.ledger.rows import COLUMNS, from_row
from miner.records import Exchange

SELECT = f"SELECT {','.join(COLUMNS)} FROM challenges"
OF_PAIR = "FROM challenges WHERE hotkey = ? AND caller = ? AND at_ns >= ?"
ANSWERED, FAILED = "answered", "outcome <> 'answered'"
"""FAILED word for word as in the schema: then SQLite takes the small index of those alone."""
TIMED = 5_000
"""Newest answers whose times are looked at: each is a row to fetch and a text to parse."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Challenges since a moment: `outcomes` counts them by outcome, `callers` the distinct validators.

    `p50_ms`, `p95_ms` of the total time of the newest 5,000 answered; None without any.
    `last_at_ns` is the newest challenge's arrival, wall clock; None without any.
    """

    outcomes: dict[str, int] = field(default_factory=dict)
    callers: int = 0
    last_at_ns: int | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None

    @property
    def total(self) -> int:
        return sum(self.outcomes.values())


def recent(
    path: Path,
    limit: int = 20,
    hotkey: str | None = None,
    *,
    caller: str = "",
    outcome: str = "",
    since_ns: int = 0,
) -> list[Exchange]:
    """The newest challenges, newest first, of one hotkey of ours or of all. Empty without a ledger.

    `caller` how a validator's hotkey begins, `outcome` of an exchange, `since_ns` wall clock.
    """
    with reading(path) as db:
        if not db:
            return []
        if hotkey is None and not caller and not outcome:
            query = f"{SELECT} WHERE at_ns >= ? ORDER BY at_ns DESC, rowid DESC LIMIT ?"
            return [from_row(row) for row in db.execute(query, (since_ns, limit))]
        chosen = _newest(db, pairs(db, hotkey, caller), since_ns, outcome, limit)
        rows = (db.execute(f"{SELECT} WHERE rowid = ?", (number,)).fetchone() for number in chosen)
        return [from_row(row) for row in rows if row]


class Judged(NamedTuple):
    """What is watched for drift of an answered challenge; thousands are read at once, so no more of it."""

    at_ns: int
    sha256: str
    log_odds: float | None
    notes: tuple[str, ...]


def judged(path: Path, limit: int) -> list[Judged]:
    """The newest answered challenges, oldest first."""
    query = f"SELECT {','.join(Judged._fields)} FROM challenges WHERE rowid = ?"
    with reading(path) as db:
        chosen = _newest(db, pairs(db), 0, ANSWERED, limit)[::-1] if db else []
        rows = (db.execute(query, (number,)).fetchone() for number in chosen) if db else ()
        return [
            Judged(at_ns, sha256, log_odds, tuple(json.loads(notes)))
            for at_ns, sha256, log_odds, notes in filter(None, rows)
        ]


def summary(path: Path, since_ns: int = 0, hotkey: str | None = None) -> Summary:
    """Counts and times of the challenges since `since_ns` (wall clock)."""
    with reading(path) as db:
        if not db:
            return Summary()
        asked = {pair: _count(db, pair, since_ns) for pair in pairs(db, hotkey)}
        outcomes = sum(asked.values(), Counter[str]())
        callers = {caller for (_, caller), counts in asked.items() if counts}
        last = [_last(db, pair) for pair, counts in asked.items() if counts]
        totals = _totals(db, asked, since_ns)
    p50, p95 = _quantile(totals, 0.5), _quantile(totals, 0.95)
    return Summary(dict(outcomes), len(callers), max(last, default=None), p50, p95)


def _newest(db: sqlite3.Connection, of: Iterable[Pair], since_ns: int, outcome: str, limit: int) -> list[int]:
    """Row numbers of the newest challenges of these pairs, newest first."""
    failed = f"AND {FAILED}" if outcome not in ("", ANSWERED) else ""
    query = (
        f"SELECT at_ns, rowid {OF_PAIR} {failed} {'AND outcome = ?' if outcome else ''} "
        "ORDER BY at_ns DESC, rowid DESC LIMIT ?"
    )
    more = (since_ns, *([outcome] if outcome else []), limit)
    found = [row for pair in of for row in db.execute(query, (*pair, *more))]
    return [number for _, number in sorted(found, reverse=True)[:limit]]


def _count(db: sqlite3.Connection, pair: Pair, since_ns: int) -> Counter[str]:
    """Outcomes of one pair's challenges, from indices alone."""
    bound = (*pair, since_ns)
    total = db.execute(f"SELECT count(*) {OF_PAIR}", bound).fetchone()[0]
    failed = db.execute(f"SELECT outcome, count(*) {OF_PAIR} AND {FAILED} GROUP BY outcome", bound)
    other = Counter(dict(failed.fetchall()))
    return +Counter({ANSWERED: total - other.total(), **other})


def _last(db: sqlite3.Connection, pair: Pair) -> int:
    query = "SELECT max(at_ns) FROM challenges WHERE hotkey = ? AND caller = ?"
    return int(db.execute(query, pair).fetchone()[0])


def _totals(db: sqlite3.Connection, of: Iterable[Pair], since_ns: int) -> list[float]:
    """Total milliseconds of the newest answered ones, in order of size."""
    query = "SELECT ms FROM challenges WHERE rowid = ?"
    rows = (db.execute(query, (number,)).fetchone() for number in _newest(db, of, since_ns, ANSWERED, TIMED))
    times = (orjson.loads(row[0]).get("total") for row in rows if row)
    return sorted(total for total in times if total is not None)


def payouts(path: Path, limit: int = 100, hotkey: str | None = None) -> list[dict[str, Any]]:
    """The newest payouts, oldest first: what `Ledger.payout` was given, with at_ns and hotkey."""
    query = f"SELECT data FROM payouts {_where(hotkey)} ORDER BY block DESC LIMIT ?"
    with reading(path) as db:
        rows = db.execute(query, (*_bound(hotkey), limit)).fetchall() if db else []
    return [json.loads(data) for (data,) in reversed(rows)]


def events(path: Path, limit: int = 50, kind: str | None = None) -> list[dict[str, Any]]:
    """The newest events, newest first: {"at_ns", "hotkey", "kind", "data"}."""
    where, bound = ("WHERE kind = ?", (kind,)) if kind else ("", ())
    query = f"SELECT at_ns, hotkey, kind, data FROM events {where} ORDER BY at_ns DESC, rowid DESC LIMIT ?"
    with reading(path) as db:
        rows = db.execute(query, (*bound, limit)).fetchall() if db else []
    return [
        {"at_ns": at, "hotkey": who, "kind": what, "data": json.loads(data)} for at, who, what, data in rows
    ]


def last_subnet_health(path: Path) -> dict[str, Any] | None:
    """The newest row given to `Ledger.subnet_health`, with at_ns; None without any."""
    query = "SELECT at_ns, data FROM subnet_health ORDER BY at_ns DESC, rowid DESC LIMIT 1"
    with reading(path) as db:
        row = db.execute(query).fetchone() if db else None
    return {**json.loads(row[1]), "at_ns": row[0]} if row else None


def _where(hotkey: str | None, *conditions: str) -> str:
    terms = [*conditions, *(["hotkey = ?"] if hotkey else [])]
    return f"WHERE {' AND '.join(terms)}" if terms else ""


def _bound(hotkey: str | None) -> tuple[str, ...]:
    return (hotkey,) if hotkey else ()


def _quantile(ordered: list[float], q: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else None

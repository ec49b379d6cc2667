"""Reading the ledger: every function opens the file read-only, so that it can never disturb the writer.

All of them raise LedgerUnreadable.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from miner.ledger.access import reading
from miner.ledger.rows import COLUMNS, from_row
from miner.records import Exchange


@dataclass(frozen=True, slots=True)
class Summary:
    """Challenges since a moment: `outcomes` counts them by outcome, `callers` the distinct validators.

    `total_ms` are the median and 95th percentile of the answered ones' total time; None without any.
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


def recent(path: Path, limit: int = 20, hotkey: str | None = None) -> list[Exchange]:
    """The newest challenges, newest first. Empty when there is no ledger yet."""
    query = (
        f"SELECT {','.join(COLUMNS)} FROM challenges {_where(hotkey)} ORDER BY at_ns DESC, rowid DESC LIMIT ?"
    )
    with reading(path) as db:
        return [from_row(row) for row in db.execute(query, (*_bound(hotkey), limit))] if db else []


def summary(path: Path, since_ns: int = 0, hotkey: str | None = None) -> Summary:
    """Counts and times of the challenges since `since_ns` (wall clock)."""
    where, bound = _where(hotkey, "at_ns >= ?"), (since_ns, *_bound(hotkey))
    with reading(path) as db:
        if not db:
            return Summary()
        by_outcome = db.execute(f"SELECT outcome, count(*) FROM challenges {where} GROUP BY outcome", bound)
        outcomes = dict(by_outcome.fetchall())
        callers, last = db.execute(
            f"SELECT count(DISTINCT caller), max(at_ns) FROM challenges {where}", bound
        ).fetchone()
        times = db.execute(f"SELECT ms FROM challenges {where} AND outcome = 'answered'", bound)
        totals = sorted(total for (ms,) in times if (total := json.loads(ms).get("total")) is not None)
    return Summary(outcomes, callers, last, _quantile(totals, 0.5), _quantile(totals, 0.95))


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

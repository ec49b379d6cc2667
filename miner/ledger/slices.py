"""How each promoted version does on every part of the labelled traffic: what was forgotten shows here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from miner.ledger.access import reading


def slices(path: Path, limit: int = 100) -> list[dict[str, Any]]:
    """The newest rows, newest first: {"at_s", "tier", "version", "slice", "count", "accuracy", "mcc"}.
    Raises LedgerUnreadable."""
    query = (
        "SELECT at_ns / 1e9 AS at_s, tier, version, slice, count, accuracy, mcc FROM slices "
        "ORDER BY slices.at_ns DESC, rowid DESC LIMIT ?"
    )
    with reading(path) as db:
        if not db:
            return []
        rows = db.execute(query, (limit,))
        names = [column[0] for column in rows.description]
        return [dict(zip(names, row, strict=True)) for row in rows]

"""Challenges and copies as tables."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from miner.ledger.audits import Audited
from miner.records import Exchange
from miner.terminal import short

MB = 10**6


def challenges_view(rows: Sequence[Exchange]) -> RenderableType:
    """Newest first, as they are given."""
    if not rows:
        return "No such challenge."
    table = Table("Time", "Asked by", "Outcome", "P", "ms", "Left", "Path and notes")
    for row in rows:
        table.add_row(
            *(_clock(row.at_ns / 1e9), short(row.caller), row.outcome, _number(row.prediction, 3)),
            *(_number(row.ms.get("total"), 0), _number(row.margin_s, 1)),
            " ".join([">".join(row.path), *row.notes]).strip(),
        )
    return table


def backups_view(found: Sequence[Mapping[str, Any]], folder: Path) -> RenderableType:
    """Oldest first, as they are given."""
    if not found:
        return f"No copy of the ledger in {folder}."
    table = Table("Made", "File", "MB")
    for one in found:
        table.add_row(_clock(one["at_s"]), Path(one["file"]).name, f"{one['bytes'] / MB:,.1f}")
    return table


def audits_view(found: Mapping[str, Audited]) -> RenderableType:
    if not found:
        return "No early exit was audited: none was taken, or too few."
    table = Table("Left after", "Audited", "Exits, about", "Everybody says otherwise")
    for tier, one in found.items():
        share = f"{one.changed:.2%} ± {one.error:.2%}"
        table.add_row(tier, str(one.audited), f"{one.exits:,}", share)
    return table


def _clock(at_s: float) -> str:
    return time.strftime("%m-%d %H:%M:%S", time.localtime(at_s))


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"

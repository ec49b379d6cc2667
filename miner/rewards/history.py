"""What the chain paid, by day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Day:
    """One UTC day of the ledger's payouts.

    `alpha`, `tao` paid (TAO at each epoch's spot price); `epochs` seen; `incentive` their mean share of the
    subnet's; `rank` the best. A day without an epoch has zeros and no rank.
    """

    date: date
    alpha: float = 0.0
    tao: float = 0.0
    epochs: int = 0
    incentive: float = 0.0
    rank: int | None = None


def by_day(rows: Iterable[Mapping[str, Any]]) -> list[Day]:
    """Payouts of the ledger as days, oldest first, without a gap between the first and the last."""
    found: dict[date, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(datetime.fromtimestamp(row["at_ns"] / 1e9, UTC).date(), []).append(row)
    if not found:
        return []
    first, last = min(found), max(found)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return [_day(each, found.get(each, [])) for each in days]


def _day(day: date, rows: Sequence[Mapping[str, Any]]) -> Day:
    if not rows:
        return Day(day)
    return Day(
        date=day,
        alpha=sum(row.get("alpha", 0.0) for row in rows),
        tao=sum(row.get("tao", 0.0) for row in rows),
        epochs=len(rows),
        incentive=sum(row.get("incentive", 0.0) for row in rows) / len(rows),
        rank=min((row["rank"] for row in rows if "rank" in row), default=None),
    )


def sparkline(values: Sequence[float]) -> str:
    """One bar per value, the largest full; what is not above 0 is the lowest bar. Empty without values."""
    top = max(values, default=0.0)
    if top <= 0:
        return BARS[0] * len(values)
    shares = (max(0.0, value) / top for value in values)
    return "".join(BARS[min(len(BARS) - 1, int(share * len(BARS)))] for share in shares)

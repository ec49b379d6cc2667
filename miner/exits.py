"""Where answers left the cascade: how many by each path, and how long those took."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from miner.records import Exchange

MOST, WINDOW = 32, 2_000
"""Most paths told apart, and most answers of one that its latencies are taken from."""
OTHER, REMEMBERED = "other", "remembered"
"""Stand for the paths past MOST, and for answers that no member was asked for again."""


class ExitRow(TypedDict):
    """One way out, since start. `path` the members that spoke; `share` of all answers, in [0, 1];
    milliseconds from arrival to answer, of the last 2,000."""

    path: list[str]
    certified: bool
    count: int
    share: float
    p50_ms: float | None
    p95_ms: float | None


@dataclass(slots=True)
class _Way:
    count: int = 0
    ms: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))


class Exits:
    """Counts answers by path. Written by one thread; `rows` may be read by any."""

    def __init__(self) -> None:
        self._ways: dict[tuple[tuple[str, ...], bool], _Way] = {}

    def write(self, batch: Iterable[Exchange]) -> None:
        for exchange in batch:
            if exchange.outcome == "answered":
                self._add(exchange)

    def _add(self, exchange: Exchange) -> None:
        key = (way(exchange), exchange.certified)
        if key not in self._ways and len(self._ways) >= MOST:
            key = ((OTHER,), False)
        found = self._ways.setdefault(key, _Way())
        found.count += 1
        if "total" in exchange.ms:
            found.ms.append(exchange.ms["total"])

    def rows(self) -> list[ExitRow]:
        """The most frequent first."""
        ways = sorted(self._ways.copy().items(), key=lambda item: -item[1].count)
        answers = sum(way.count for _, way in ways)
        return [
            ExitRow(
                path=list(path),
                certified=certified,
                count=way.count,
                share=way.count / answers,
                **_latencies(sorted(way.ms.copy())),
            )
            for (path, certified), way in ways
        ]


def way(exchange: Exchange) -> tuple[str, ...]:
    """The path of an answer: its members, or that it was remembered."""
    return (REMEMBERED,) if "cached" in exchange.notes else exchange.path


def exit_line(row: ExitRow) -> str:
    """One way out in words: 62.0 % classifier, certified: 31 ms (p95 50 ms), 124 answers."""
    path = " → ".join(row["path"]) + (", certified" if row["certified"] else "")
    took = "" if row["p50_ms"] is None else f"{row['p50_ms']:.0f} ms (p95 {row['p95_ms']:.0f} ms), "
    return f"{100 * row['share']:.1f} % {path}: {took}{row['count']} answers"


class _Latencies(TypedDict):
    p50_ms: float | None
    p95_ms: float | None


def _latencies(ordered: Sequence[float]) -> _Latencies:
    return _Latencies(p50_ms=_quantile(ordered, 0.50), p95_ms=_quantile(ordered, 0.95))


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    return round(ordered[math.ceil(share * len(ordered)) - 1], 2) if ordered else None

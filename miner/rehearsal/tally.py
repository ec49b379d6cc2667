"""Counts of a run: outcomes, statuses, latencies."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from miner.rehearsal.dendrite import Reply

OUTCOMES = ("answered", "shed", "refused", "lost")


class Tally:
    """Every reply of a run. `correct` counts answers on the label's side of 0.5."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.correct = 0
        self._ms: list[float] = []

    def add(self, reply: Reply, label: int) -> None:
        outcome = reply.outcome
        self.outcomes[outcome] += 1
        self.statuses[str(reply.status) if reply.status else reply.reason] += 1
        if outcome == "answered":
            self._ms.append(reply.ms)
            self.correct += (reply.prediction > 0.5) == bool(label)

    @property
    def count(self) -> int:
        return self.outcomes.total()

    def summary(self, elapsed_s: float) -> dict[str, Any]:
        """Plain JSON types. Latencies in ms, of answered challenges only; None when there is none."""
        answered = self.outcomes["answered"]
        return {
            "challenges": self.count,
            "elapsed_s": round(elapsed_s, 3),
            "answered_per_s": round(answered / elapsed_s, 2) if elapsed_s > 0 else 0.0,
            **{outcome: self.outcomes[outcome] for outcome in OUTCOMES},
            "statuses": dict(sorted(self.statuses.items())),
            "accuracy": round(self.correct / answered, 4) if answered else None,
            "p50_ms": percentile(self._ms, 0.50),
            "p95_ms": percentile(self._ms, 0.95),
            "max_ms": percentile(self._ms, 1.0),
        }


def percentile(values: list[float], share: float) -> float | None:
    """The least value that `share` (0 to 1] of the values do not exceed; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return round(ordered[math.ceil(share * len(ordered)) - 1], 2)

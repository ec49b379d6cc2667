"""Whether a stream has changed: `python -m models.drift` with JSON on standard input.

{"delta": 0.002, "streams": {name: [numbers, oldest first]}} -> {name: {"at", "before", "after"} or null}.

ADWIN (Bifet and Gavalda, "Learning from time-changing data with adaptive windowing", SDM 2007) as River has
it: `delta` bounds the chance of a false alarm at each look. A process of its own, because River brings SciPy.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

DELTA = 0.002


@dataclass(frozen=True, slots=True)
class Change:
    """`at` the index at which the last change was noticed; `before`, `after` the means of what came earlier
    and of what the detector still holds for current."""

    at: int
    before: float
    after: float


def last_change(values: Sequence[float], delta: float = DELTA) -> Change | None:
    """The last change noticed in `values`, oldest first; None without any."""
    from river.drift import ADWIN

    at: int | None = None
    detector: Any = ADWIN(delta=delta)  # type: ignore[no-untyped-call] # River has no types
    for index, value in enumerate(values):
        detector.update(float(value))
        if detector.drift_detected:
            at = index
    if at is None:
        return None
    split = len(values) - max(1, min(int(detector.width), len(values) - 1))
    return Change(at, fmean(values[:split]), fmean(values[split:]))


def main() -> None:
    asked = json.load(sys.stdin)
    found = {name: last_change(values, asked["delta"]) for name, values in asked["streams"].items()}
    sys.stdout.write(json.dumps({name: asdict(one) if one else None for name, one in found.items()}) + "\n")


if __name__ == "__main__":
    main()

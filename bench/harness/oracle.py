"""What no batching policy can beat: one that knows every arrival beforehand.

Identical images, judged in the order in which they came, in batches of at most `Costs.most`. Found by dynamic
programming over the first so many of them: of the ways to have judged these, only those matter that leave the
device free earlier, or fewer late, than any other."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.queueing import Costs

State = tuple[float, int]
"""When the device is free again, and how many were late until then."""


def least_late(arrivals: Sequence[float], costs: Costs, within_s: float) -> int:
    """Fewest images judged later than `within_s` after they came. `arrivals` seconds, in the order of
    time."""
    count = len(arrivals)
    reached: list[list[State]] = [[] for _ in range(count + 1)]
    reached[0] = [(0.0, 0)]
    for first, ways in enumerate(reached[:-1]):
        for free, late in _best(ways):
            for last in range(first, min(first + costs.most, count)):
                done = max(free, arrivals[last]) + costs.batch(last + 1 - first)
                missed = sum(done - arrivals[n] > within_s for n in range(first, last + 1))
                reached[last + 1].append((done, late + missed))
        ways.clear()
    return min(late for _, late in reached[-1])


def percentile_s(arrivals: Sequence[float], costs: Costs, q: float, exact_s: float = 1e-3) -> float:
    """The least seconds, to `exact_s`, within which a part `q` of the images can be judged."""
    allowed = math.floor((1 - q) * len(arrivals))
    low, high = 0.0, 2 * (arrivals[-1] + len(arrivals) * costs.batch(1))
    while high - low > exact_s:
        middle = (low + high) / 2
        if least_late(arrivals, costs, middle) <= allowed:
            high = middle
        else:
            low = middle
    return high


def _best(ways: list[State]) -> list[State]:
    """Those than which no other is free as early with as few late."""
    found: list[State] = []
    for way in sorted(ways):
        if not found or way[1] < found[-1][1]:
            found.append(way)
    return found

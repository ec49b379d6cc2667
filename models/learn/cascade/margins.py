"""The simplest deferral: go on while the fused log-odds lies within a band around 0.

What any learned deferral has to beat. Not certified: the band is chosen for its cost, on answers out of fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.certify.traces import Thresholds, follow
from models.fusion.rows import Flags, Floats
from models.learn.cascade.figures import by_class


@dataclass(frozen=True)
class Left:
    """n requests that were left early: `scores` (n,) fused log-odds there, `last` (n,) index of the last
    member asked."""

    scores: Floats
    last: np.ndarray[tuple[int], np.dtype[np.intp]]

    def cost_ms(self, costs: Floats) -> Floats:
        """(n,) of (n, M) or (M,) milliseconds of the members."""
        spent: Floats = np.cumsum(np.broadcast_to(costs, (len(self.last), np.shape(costs)[-1])), axis=1)
        return spent[np.arange(len(self.last)), self.last]

    def asked(self, members: int) -> Flags:
        """(n, M)."""
        flags: Flags = np.arange(members) <= self.last[:, None]
        return flags


def leave(prefixes: Floats, band: float) -> Left:
    """`prefixes` (n, M) fused log-odds after 1..M members; everybody is asked within `band` of 0."""
    exits = prefixes.shape[1] - 1
    _, last = follow(prefixes, Thresholds(np.full(exits, -band), np.full(exits, band)))
    return Left(prefixes[np.arange(len(prefixes)), last], last)


def widest(prefixes: Floats, roadwork: Flags, costs: Sequence[float], budget: float) -> float:
    """The widest band that costs at most `budget` ms in the mean, both labels weighing a half; 0 when none
    does."""
    each = np.asarray(costs, dtype=np.float64)

    def spent(band: float) -> float:
        return by_class(leave(prefixes, band).cost_ms(each), roadwork)

    low, high = 0.0, float(np.abs(prefixes).max()) + 1.0
    if spent(high) <= budget:
        return high
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if spent(middle) <= budget else (low, middle)
    return low

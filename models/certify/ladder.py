"""Candidate thresholds, strictest first, chosen on select data only.

The ratio between exits is fixed here and one number moves them all, so that testing them needs no
correction for their number. Nothing here is promised: a bad ladder costs exits, never the guarantee.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.certify.bounds import Floats
from models.certify.traces import Flags, Thresholds, Traces

RUNGS = 48
STEEPEST = 1e3
"""Ratio of the strictest rung to the reference, at most."""
FLOOR = 0.05
"""Least reference threshold: this quantile of the tier's log-odds by magnitude."""


def ladder(select: Traces, eps: Sequence[float], rungs: int = RUNGS) -> list[Thresholds]:
    """`rungs` thresholds from "hardly anybody leaves" to half of what looks right on `select`.

    The reference of an exit is where at most eps / exits of each class leaves wrongly on `select`.
    """
    exits = select.fused.shape[1] - 1
    if not exits or not len(select):
        return []
    share = [each / exits for each in eps]
    upper = np.array([_reference(select, tier, 1.0, share) for tier in range(exits)])
    lower = np.array([_reference(select, tier, -1.0, share) for tier in range(exits)])
    early = select.fused[:, :-1]
    top = float(np.maximum(early / upper, -early / lower).max(initial=1.0))
    factors = np.geomspace(min(max(top, 1.0), STEEPEST), 0.5, rungs)
    return [Thresholds(-factor * lower, factor * upper) for factor in factors]


def _reference(select: Traces, tier: int, side: float, share: Sequence[float]) -> float:
    """The smallest threshold on `side` (1: roadwork) that keeps each class's wrong exits within its share."""
    strength = side * select.fused[:, tier]
    wrong = (strength > 0) & (select.full != (side > 0))
    least = float(np.quantile(np.abs(strength), FLOOR))
    needs = [_cut(strength, wrong, select.roadwork == bool(label), share[label]) for label in (0, 1)]
    return max(least, *needs, 1e-3)


def _cut(strength: Floats, wrong: Flags, of_class: Flags, share: float) -> float:
    """Just above the strongest wrong exit that does not fit into the share of the class."""
    found = np.sort(strength[wrong & of_class])[::-1]
    allowed = int(share * int(of_class.sum()))
    return float(np.nextafter(found[allowed], np.inf)) if len(found) > allowed else 0.0

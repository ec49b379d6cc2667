"""How often we are right, class by class, where the truth is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from miner.rewards.standing import Seen
from miner.rewards.twin import NO_ANSWER

LEAST = 20
"""Known answers of either class below which no rate is claimed."""


def rates(seen: Iterable[Seen]) -> tuple[float, float] | None:
    """(true positive rate, true negative rate) of answered challenges; None when too few labels are known."""
    known = Counter(
        (one.truth, int(one.prediction > 0.5))
        for one in seen
        if one.truth is not None and one.prediction != NO_ANSWER
    )
    positives, negatives = known[1, 0] + known[1, 1], known[0, 0] + known[0, 1]
    if min(positives, negatives) < LEAST:
        return None
    return known[1, 1] / positives, known[0, 0] / negatives

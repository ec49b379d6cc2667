"""What was forgotten: accuracy on every earlier part of the labelled traffic."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.learn.adaptation.items import Item
from models.learn.metrics import Floats, balanced_mcc, rates

FEWEST = 5


@dataclass(frozen=True, slots=True)
class Slice:
    """`accuracy` in [0, 1]; `mcc` at equal prevalence, None where one class is missing."""

    name: str
    count: int
    accuracy: float
    mcc: float | None


def slices(items: Sequence[Item], log_odds: Floats) -> list[Slice]:
    """One for each source and month, or the slice an item names; those of fewer than FEWEST are left out."""
    parts: dict[str, list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        parts[item.slice or f"{item.source} {item.month}".strip()].append(index)
    return [
        _slice(name, np.array([items[index].roadwork for index in rows]), log_odds[rows])
        for name, rows in sorted(parts.items())
        if len(rows) >= FEWEST
    ]


def _slice(name: str, roadwork: np.ndarray, log_odds: Floats) -> Slice:
    tpr, tnr = rates(log_odds, roadwork)
    both = tpr == tpr and tnr == tnr
    accuracy = float(((log_odds > 0) == roadwork).mean())
    return Slice(name, len(roadwork), accuracy, balanced_mcc(tpr, tnr) if both else None)

"""What a learning run came to, for whoever started it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from models.learn.adaptation.items import Item
from models.learn.adaptation.slices import Slice, slices
from models.learn.metrics import Floats, report


@dataclass(frozen=True)
class Learned:
    """`made` whether there is a candidate, `why` in a sentence; `metrics` on the items that nobody trains on;
    `before`, `after` slices of the same."""

    made: bool
    why: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    before: Sequence[Slice] = ()
    after: Sequence[Slice] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def compared(
    why: str,
    trained: int,
    held: Sequence[Item],
    before: Floats,
    after: Floats,
    details: Mapping[str, Any] | None = None,
) -> Learned:
    """A candidate made from `trained` items, with the (n,) calibrated log-odds of the n `held` ones."""
    roadwork = np.array([item.roadwork for item in held], bool)
    metrics = {"trained": float(trained), "held": float(len(held))}
    if 0 < roadwork.sum() < len(held):
        figures = report(after, roadwork)
        metrics |= {"mcc_before": report(before, roadwork).mcc, "mcc": figures.mcc, "ece": figures.ece}
    rounded = {name: round(value, 4) for name, value in metrics.items()}
    return Learned(True, why, rounded, slices(held, before), slices(held, after), details or {})

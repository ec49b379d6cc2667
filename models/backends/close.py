"""A rounded copy judges; what it leaves too close to call is judged again in float32.

The two decide differently on an image only where the copy overstates its side by more than its distance from
the threshold. With a margin that is the largest overstatement seen on n images, every such image is asked
again unless it is overstated by more still: for the next image like them a chance of at most 1 / (n + 1), the
rank of one among equals (Vovk et al., Algorithmic Learning in a Random World, 2005, chapter 2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.backends.runtimes import Floats, Runner, Told

Odds = Callable[[Floats], Floats]
"""Logits (batch, labels) -> (batch,) calibrated log-odds, 0 at the threshold."""


def overstated(copy: Floats, whole: Floats) -> Floats:
    """By how much each log-odds of a copy is further on its side of 0 than the float model's is (negative: by
    how much less far)."""
    found: Floats = (copy - whole) * np.where(copy > 0, 1, -1).astype(copy.dtype)
    return found


@dataclass(frozen=True, slots=True)
class CloseCalls:
    """A Runner of two: `quick` judges all, `careful` once more those within `margin` (log-odds) of 0."""

    quick: Runner
    careful: Runner
    odds: Odds
    margin: float

    def __call__(self, pixels: Floats) -> Told:
        logits, features = self.quick(pixels)
        close = np.abs(self.odds(logits)) <= self.margin
        if close.any():
            again, heard = self.careful(pixels[close])
            logits[close] = again
            if features is not None and heard is not None:
                features[close] = heard
        return logits, features

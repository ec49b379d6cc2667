"""Temperature and bias: two numbers, so a few dozen labels a day are enough, and little can go wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.calibration import Calibration, logit, sigmoid
from models.learn.crossfit import calibrate
from models.learn.metrics import Floats, label_weights

FEWEST = 10
"""Labels of each class below which nothing is changed."""
FARTHEST = 0.5
"""Most log-odds by which one run may move the bias, and most by which it may scale the temperature, as a
natural logarithm: what one bad day can do is bounded."""


MOST_LOST = 0.005
"""Most of a class that may be lost for the other's sake."""


def recalibrate(
    current: Calibration, log_odds: Floats, roadwork: NDArray[np.bool_], weights: Floats
) -> Calibration:
    """`current` with what (n,) calibrated log-odds against (n,) labels ask for, both classes weighing the
    same. `weights` (n,) above 0. `current` itself with too few labels."""
    if min(roadwork.sum(), (~roadwork).sum()) < FEWEST:
        return current
    balanced = label_weights(roadwork) * weights
    slope, threshold = calibrate(log_odds, roadwork, balanced / balanced.sum())
    bounded = min(max(threshold, sigmoid(-FARTHEST)), sigmoid(FARTHEST))
    bias = logit(bounded)
    scale = float(np.exp(np.clip(np.log(slope), -FARTHEST, FARTHEST)))
    return after(current, bias, scale)


def after(current: Calibration, bias: float, scale: float) -> Calibration:
    """The one calibration that is `current` followed by (x - bias) / scale."""
    moved = logit(current.threshold) + current.temperature * bias
    return Calibration(current.temperature * scale, sigmoid(moved))


def held_back(before: Floats, after: Floats, roadwork: NDArray[np.bool_], most: float = MOST_LOST) -> float:
    """What to take from the (n,) log-odds `after`, so that neither class loses more than `most` of its (n,)
    labels net against `before`: the smallest shift that does it, else the one by which the worse-off class
    loses least. A gain in one class is not paid for by the other, as the gate will ask."""
    shifts = sorted((step / 20 for step in range(-50, 51)), key=abs)
    lost = [_worst_loss(before, after - shift, roadwork) for shift in shifts]
    fine = [shift for shift, loss in zip(shifts, lost, strict=True) if loss <= most]
    return float(fine[0] if fine else shifts[int(np.argmin(lost))])


def _worst_loss(before: Floats, after: Floats, roadwork: NDArray[np.bool_]) -> float:
    gains = ((after > 0) == roadwork).astype(float) - ((before > 0) == roadwork)
    sides = [gains[roadwork == side] for side in (False, True)]
    return max((-float(side.mean()) for side in sides if len(side)), default=0.0)

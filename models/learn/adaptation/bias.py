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

"""How sure a median is."""

from __future__ import annotations

from typing import Any

import numpy as np


def interval(ratios: np.ndarray[Any, Any]) -> tuple[float, float, float]:
    """Median, and the middle 95 % of the medians of resampled turns."""
    rng = np.random.default_rng(0)
    drawn = np.median(rng.choice(ratios, (1000, len(ratios))), axis=1)
    return float(np.median(ratios)), float(np.quantile(drawn, 0.025)), float(np.quantile(drawn, 0.975))

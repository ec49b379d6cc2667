"""The plain sum as a kind like the others: right for members that are independent given the label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.calibration import LIMIT
from models.fusion.rows import Floats, Rows, clip


@dataclass(frozen=True)
class Total:
    """Nothing to learn."""

    members: tuple[str, ...]

    def log_odds(self, rows: Rows) -> Floats:
        """(n,) sums over whoever spoke, as `models.fusion.simple.fuse`; 0 where nobody did."""
        heard = np.where(rows.present, clip(rows.log_odds, LIMIT), 0.0)
        return clip(heard.sum(axis=1), LIMIT)


def fit(rows: Rows, seed: int = 0) -> Total:
    return Total(rows.members)

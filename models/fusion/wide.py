"""Logistic regression on all that the networks see: features and pooled cameras beside the log-odds.

Whatever `meta` and `residual` gain over this one they owe to their shape, not to what they look at.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.fusion.inputs import Inputs, fit_inputs
from models.fusion.logistic import by_set, set_numbers
from models.fusion.rows import Floats, Rows


@dataclass(frozen=True)
class Wide:
    """As `Logistic`, over the D columns and K sources of `inputs`: `intercepts` (2^K,), `slopes` (2^K, D)."""

    inputs: Inputs
    intercepts: Floats
    slopes: Floats

    @property
    def members(self) -> tuple[str, ...]:
        return self.inputs.members

    def log_odds(self, rows: Rows) -> Floats:
        """(n,) fused log-odds."""
        x, there = self.inputs(rows)
        spoke = set_numbers(there)
        fused: Floats = self.intercepts[spoke] + (x * self.slopes[spoke]).sum(axis=1)
        return fused


def fit(rows: Rows, seed: int = 0) -> Wide:
    """`seed` changes nothing. Raises ValueError for too many sources."""
    inputs = fit_inputs(rows)
    x, there = inputs(rows)
    return Wide(inputs, *by_set(x, there, inputs.owners, rows.roadwork))

"""From a model's raw log-odds to an honest probability: threshold shift, temperature, and back.

The shift undoes an unbalanced training prior: the raw probability at which the model decides best
becomes 0.5. Pure functions.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIMIT = 700.0
"""Largest magnitude of a log-odds that leaves this floor; exp(LIMIT) is still a finite float."""

MARGIN = 1e-6
"""Least distance of a probability from 0.5. The subnet rounds halves to "none", and a float32 on the way
would make a tie of anything closer; a decision must not hang on that."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """`threshold` in (0, 1): the raw probability that becomes 0.5; `temperature` > 0 divides what is left."""

    temperature: float = 1.0
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature must be a positive number, not {self.temperature}")
        if not 0 < self.threshold < 1:
            raise ValueError(f"threshold must lie between 0 and 1, not {self.threshold}")

    def apply(self, log_odds: float) -> float:
        """`(log_odds - logit(threshold)) / temperature`, clamped; 0 at the raw probability `threshold`."""
        return clamp((log_odds - logit(self.threshold)) / self.temperature)

    def invert(self, log_odds: float) -> float:
        """The raw log-odds that `apply` maps to `log_odds` (where it did not clamp)."""
        return log_odds * self.temperature + logit(self.threshold)

    def at_prior(self, prior: float, fitted_at: float = 0.5) -> Calibration:
        """The same after a `shift` from the prior it was fitted at to another."""
        moved = shift(-logit(self.threshold) / self.temperature, fitted_at, prior)
        return Calibration(self.temperature, sigmoid(-moved * self.temperature))


def shift(log_odds: float, prior: float, new: float) -> float:
    """Bayes for another share of roadwork: log_odds + logit(new) - logit(prior); both strictly in (0, 1)."""
    return log_odds + logit(new) - logit(prior)


def logit(p: float) -> float:
    """log(p / (1 - p)) for p strictly between 0 and 1."""
    return math.log(p) - math.log1p(-p)


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)) for any finite x, without overflow."""
    if x >= 0:
        return 1.0 / (1.0 + math.exp(-x))
    e = math.exp(x)
    return e / (1.0 + e)


def clamp(log_odds: float) -> float:
    """Limit to [-LIMIT, LIMIT]."""
    return min(max(log_odds, -LIMIT), LIMIT)


def probability(log_odds: float) -> float:
    """P(roadwork) in [0, 1], monotone; above 0.5 if `log_odds` > 0, else below, by at least MARGIN."""
    p = sigmoid(log_odds)
    return max(p, 0.5 + MARGIN) if log_odds > 0 else min(p, 0.5 - MARGIN)


def read(path: Path) -> Calibration:
    """`calibration.json` with `temperature` and `threshold`, either optional; a missing file is the identity.

    Raises ValueError, naming the file, for anything that is not such an object. Other keys are remarks.
    """
    if not path.is_file():
        return Calibration()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Calibration(*(_number(found, key, default) for key, default in _FIELDS))
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a calibration file: {error}") from error


_FIELDS = (("temperature", 1.0), ("threshold", 0.5))


def _number(found: dict[str, Any], key: str, default: float) -> float:
    value = found.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{key} is {value!r}, not a number")
    return float(value)

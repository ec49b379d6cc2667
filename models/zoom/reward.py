"""How far a look is to be trusted: a small logistic head over the evidence of a look among its like.

A process reward in the sense of best-of-N: of several looks the one that is most likely right speaks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from models.calibration import clamp, logit, sigmoid
from models.zoom.windows import Window, area

REACH = 8.0
"""Log-odds beyond this are no surer."""
LEAST = 1e-4
"""A chance is kept this far from 0 and 1."""
FEATURES = ("strength", "side", "agreement", "size", "score")


@dataclass(frozen=True, slots=True)
class Look:
    """What the classifier says about a `window`: `log_odds`; `score` of the box that led there, 0 if none."""

    window: Window
    log_odds: float
    score: float = 0.0


def features(look: Look, looks: Sequence[Look]) -> tuple[float, ...]:
    """`FEATURES` of one of `looks`: its log-odds by magnitude and by sign, the mean of all in its direction,
    the side of its window, and its box's score."""
    side = math.copysign(1.0, look.log_odds)
    mean = sum(_within(each.log_odds) for each in looks) / len(looks)
    return abs(_within(look.log_odds)), side, side * mean, math.sqrt(area(look.window)), look.score


def _within(log_odds: float) -> float:
    return min(max(log_odds, -REACH), REACH)


@dataclass(frozen=True, slots=True)
class Reward:
    """P(the sign of a look is right) = sigmoid(`bias` + `weights` . features)."""

    weights: tuple[float, ...]
    bias: float

    def __post_init__(self) -> None:
        if len(self.weights) != len(FEATURES) or not all(map(math.isfinite, (*self.weights, self.bias))):
            raise ValueError(f"a reward has a finite weight for each of {', '.join(FEATURES)}")

    def chance(self, look: Look, looks: Sequence[Look]) -> float:
        """In [LEAST, 1 - LEAST]."""
        given = zip(self.weights, features(look, looks), strict=True)
        return min(max(sigmoid(self.bias + math.fsum(w * x for w, x in given)), LEAST), 1 - LEAST)

    def best(self, looks: Sequence[Look]) -> tuple[Look, float]:
        """The look to be trusted most, and how far; the first of equals."""
        chances = [self.chance(look, looks) for look in looks]
        at = max(range(len(looks)), key=chances.__getitem__)
        return looks[at], chances[at]

    def log_odds(self, looks: Sequence[Look]) -> float:
        """Of roadwork, by the best look: log(P(right) / P(wrong)) in its direction."""
        look, chance = self.best(looks)
        return clamp(math.copysign(1.0, look.log_odds) * logit(chance))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Reward:
        """Raises KeyError, TypeError and ValueError."""
        return cls(tuple(float(each) for each in data["weights"]), float(data["bias"]))

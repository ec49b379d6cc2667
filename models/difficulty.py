"""How hard an image is, in a few cheap numbers: what was said about it so far, beside those of the picture
itself (`models.imaging.measure`). They are what a deferral reads before it decides whether asking somebody
else is worth it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from models.calibration import sigmoid
from models.core import Evidence

REACH = 12.0
"""Log-odds beyond this are no surer."""


def scene(pictures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of several views: the mean of each number."""
    return {name: sum(each[name] for each in pictures) / len(pictures) for name in pictures[0]}


def evidence(said: Sequence[Evidence], fused: float) -> dict[str, float]:
    """Of what was said so far, and the log-odds it comes to.

    fused, margin (its magnitude), entropy (bits), heard (how many spoke), disagreement (the largest log-odds
    less the smallest), and of each member NAME its log-odds as "NAME" and its features as "NAME.feature".
    """
    each = [_within(item.log_odds) for item in said]
    total = _within(fused)
    found = {
        "fused": total,
        "margin": abs(total),
        "entropy": entropy(sigmoid(total)),
        "heard": float(len(said)),
        "disagreement": max(each) - min(each) if each else 0.0,
    }
    for item, odds in zip(said, each, strict=True):
        found[item.tier] = odds
        found |= {f"{item.tier}.{name}": value for name, value in item.features.items()}
    return found


def _within(log_odds: float) -> float:
    return min(max(log_odds, -REACH), REACH)


def entropy(p: float) -> float:
    """Of a coin, in bits."""
    return -sum(q * math.log2(q) for q in (p, 1 - p) if q > 0)

"""What a detector saw in a view, and what of it becomes evidence: features, boxes, a log-odds.

Features per watched class, all finite, named after the class: `max_` score, `count_` of boxes from `least`
on, `area_` (their summed share of the view, at most 1), `lowest_` edge (1 is the view's lower edge, 0 without
boxes: near things stand low).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.calibration import clamp, logit
from models.core import Box

WEIGHING = "detector.json"
OVERLAP = 0.7
"""Intersection over union from which two boxes of one class are the same thing."""
MOST = 50
"""Boxes of one view; the surest are kept."""
FAINTEST = 1e-4
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Seen:
    """`scores` (queries, classes) in [0, 1]; `edges` (queries, 4): x0, y0, x1, y1 relative to the view."""

    scores: Floats
    edges: Floats


@dataclass(frozen=True)
class Weighing:
    """Log-odds = `intercept` + sum of `weights` * feature; without weights the log-odds of the largest score
    of any watched class less that of `undecided`: a score of `undecided` says nothing either way."""

    intercept: float = 0.0
    weights: Mapping[str, float] = field(default_factory=dict)
    undecided: float = 0.5

    def log_odds(self, features: Mapping[str, float]) -> float:
        if self.weights:
            return clamp(self.intercept + sum(features[name] * by for name, by in self.weights.items()))
        most = max(value for name, value in features.items() if name.startswith("max_"))
        return logit(min(max(most, FAINTEST), 1 - FAINTEST)) - logit(self.undecided)


def read_weighing(path: Path, names: Sequence[str], undecided: float) -> Weighing:
    """`detector.json`: {"intercept": number, "weights": {feature: number}}; without the file the neutral
    default. `names` are the features there are. Raises ValueError naming the file and what is wrong."""
    if not 0 < undecided < 1:
        raise ValueError(f"undecided must lie between 0 and 1, not {undecided}")
    if not path.is_file():
        return Weighing(undecided=undecided)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        weights = {str(name): float(value) for name, value in found["weights"].items()}
        intercept = float(found["intercept"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path}: needs intercept and weights: {error!r}") from error
    if unknown := sorted(set(weights) - set(names)):
        raise ValueError(
            f"{path}: no such feature: {', '.join(unknown)}; the features are: {', '.join(names)}"
        )
    if not weights or not all(map(math.isfinite, (intercept, *weights.values()))):
        raise ValueError(f"{path}: weights must be finite numbers, at least one")
    return Weighing(intercept, weights)


def feature_names(labels: Sequence[str]) -> list[str]:
    return [f"{kind}_{slug(label)}" for label in labels for kind in ("max", "count", "area", "lowest")]


def slug(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", label.casefold()).strip("_")


def find_boxes(seen: Seen, labels: Sequence[str], least: float) -> list[Box]:
    """Boxes of every watched class from a score of `least` on, duplicates left out, best first."""
    edges = np.clip(seen.edges, 0, 1)
    found = []
    for index, label in enumerate(labels):
        scores = seen.scores[:, index]
        for row in _distinct(edges, scores, least):
            x0, y0, x1, y1 = edges[row].tolist()
            if x0 <= x1 and y0 <= y1:
                found.append(Box(0, label, float(scores[row]), x0, y0, x1, y1))
    return sorted(found, key=lambda box: -box.score)


def _distinct(edges: Floats, scores: Floats, least: float) -> list[int]:
    """Rows from the best score down that overlap no better one by `OVERLAP` or more; `MOST` at most."""
    kept: list[int] = []
    for row in np.argsort(-scores, kind="stable").tolist():
        if scores[row] < least or len(kept) == MOST:
            break
        if not any(_overlap(edges[row], edges[other]) >= OVERLAP for other in kept):
            kept.append(row)
    return kept


def _overlap(one: Floats, other: Floats) -> float:
    """Intersection over union; 0 for empty boxes."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    total = float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])) - shared
    return shared / total if total > 0 else 0.0


def features(seen: Seen, labels: Sequence[str], boxes: Sequence[Box]) -> dict[str, float]:
    """See the module; a detector without queries gives zeros."""
    told: dict[str, float] = {}
    for index, label in enumerate(labels):
        own = [box for box in boxes if box.label == label]
        area = sum((box.x1 - box.x0) * (box.y1 - box.y0) for box in own)
        most = float(seen.scores[:, index].max(initial=0.0))
        values = (most, float(len(own)), min(1.0, area), max((box.y1 for box in own), default=0.0))
        told |= dict(zip(feature_names([label]), values, strict=True))
    return told

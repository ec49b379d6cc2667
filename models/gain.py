"""What asking one more member would gain, foretold from how hard the image is.

gain = P(the answer is right afterwards) - P(it is right now), in [-1, 1]. Two kinds, fitted offline and
evaluated here from plain numbers: `logistic`, the chance that a wrong answer is put right less the chance
that a right one is spoilt; `trees`, gradient-boosted regression trees of the difference itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from models.calibration import sigmoid


class Gain(Protocol):
    """A fitted kind: values of its features in order, none missing -> gain, not clipped."""

    def of(self, values: Sequence[float]) -> float: ...


@dataclass(frozen=True, slots=True)
class Logistic:
    """`mends` and `spoils`: a weight for each feature and, last, the bias."""

    mends: tuple[float, ...]
    spoils: tuple[float, ...]

    def of(self, values: Sequence[float]) -> float:
        return _chance(self.mends, values) - _chance(self.spoils, values)


def _chance(weights: Sequence[float], values: Sequence[float]) -> float:
    return sigmoid(weights[-1] + math.fsum(w * x for w, x in zip(weights, values, strict=False)))


@dataclass(frozen=True, slots=True)
class Tree:
    """Nodes by index, the root first. `feature` -1 marks a leaf; a value <= `threshold` goes `left`, which
    comes after its parent, as `right` does; `value` of the leaves."""

    feature: tuple[int, ...]
    threshold: tuple[float, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    value: tuple[float, ...]

    def of(self, values: Sequence[float]) -> float:
        node = 0
        while (feature := self.feature[node]) >= 0:
            node = self.left[node] if values[feature] <= self.threshold[node] else self.right[node]
        return self.value[node]


@dataclass(frozen=True, slots=True)
class Trees:
    """`start` + the sum of the trees."""

    start: float
    trees: tuple[Tree, ...]

    def of(self, values: Sequence[float]) -> float:
        return self.start + math.fsum(tree.of(values) for tree in self.trees)


@dataclass(frozen=True, slots=True)
class GainModel:
    """`names` of the features it reads, with the `mean` that stands for a missing one and the `spread` by
    which the rest is divided; `model` of the standardised values."""

    names: tuple[str, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    model: Gain

    def gain(self, features: Mapping[str, float]) -> float:
        """In [-1, 1]; features that are missing, or not finite, count as average."""
        known = zip(self.names, self.mean, self.spread, strict=True)
        values = [_standard(features.get(name), mean, spread) for name, mean, spread in known]
        return min(max(self.model.of(values), -1.0), 1.0)

    def to_json(self) -> dict[str, Any]:
        kind = next(name for name, each in KINDS.items() if isinstance(self.model, each))
        return {"kind": kind, **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> GainModel:
        """The inverse. Raises ValueError, KeyError and TypeError for what does not fit together."""
        names = tuple(str(name) for name in data["names"])
        mean, spread = _numbers(data["mean"]), _numbers(data["spread"])
        if not len(names) == len(mean) == len(spread) or min(spread, default=1.0) <= 0:
            raise ValueError("every feature needs a mean, and a spread above 0")
        return cls(names, mean, spread, READERS[data["kind"]](data["model"], len(names)))


def _standard(value: float | None, mean: float, spread: float) -> float:
    return 0.0 if value is None or not math.isfinite(value) else (value - mean) / spread


def _numbers(values: Sequence[Any]) -> tuple[float, ...]:
    found = tuple(float(value) for value in values)
    if not all(map(math.isfinite, found)):
        raise ValueError("a gain model's numbers are finite")
    return found


def _logistic(data: Mapping[str, Any], features: int) -> Logistic:
    found = Logistic(_numbers(data["mends"]), _numbers(data["spoils"]))
    if not len(found.mends) == len(found.spoils) == features + 1:
        raise ValueError(f"{features} features need as many weights and a bias")
    return found


def _trees(data: Mapping[str, Any], features: int) -> Trees:
    (start,) = _numbers([data["start"]])
    return Trees(start, tuple(_tree(each, features) for each in data["trees"]))


def _tree(data: Mapping[str, Any], features: int) -> Tree:
    """Children behind their parents: so every walk ends."""
    whole = [tuple(int(each) for each in data[name]) for name in ("feature", "left", "right")]
    feature, left, right = whole
    found = Tree(feature, _numbers(data["threshold"]), left, right, _numbers(data["value"]))
    count = len(feature)
    if not count or any(len(each) != count for each in (left, right, found.threshold, found.value)):
        raise ValueError("a tree has a feature, threshold, left, right and value for each node")
    for node in range(count):
        inner = 0 <= feature[node] < features and node < min(left[node], right[node])
        if feature[node] != -1 and not (inner and max(left[node], right[node]) < count):
            raise ValueError(f"node {node} of a tree leads nowhere")
    return found


KINDS: Mapping[str, type] = {"logistic": Logistic, "trees": Trees}
READERS: Mapping[str, Callable[[Mapping[str, Any], int], Gain]] = {"logistic": _logistic, "trees": _trees}

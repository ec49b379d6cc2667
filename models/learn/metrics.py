"""How good a classifier is, by the subnet's measure and the usual ones; numpy only.

Labels are booleans (roadwork), scores are log-odds whose sign decides. Everything is at equal prevalence
of both labels, as the validators draw them, whatever the sample's own mix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Report:
    """Rates in [0, 1], NaN where a label is missing; `mcc` in [-1, 1]; `reward` per query in [0, 1]."""

    count: int
    positives: int
    mcc: float
    tpr: float
    tnr: float
    accuracy: float
    auc: float
    ece: float
    reward: float

    def to_json(self) -> dict[str, float | int | None]:
        """JSON has no NaN: missing figures become None."""
        return {key: None if value != value else value for key, value in asdict(self).items()}


def report(scores: ArrayLike, labels: ArrayLike) -> Report:
    """Every figure at once. Raises ValueError for empty, unequal or non-finite input."""
    z, y = _checked(scores, labels)
    tpr, tnr = rates(z, y)
    accuracy = (tpr + tnr) / 2
    return Report(
        count=len(y),
        positives=int(y.sum()),
        mcc=balanced_mcc(tpr, tnr),
        tpr=tpr,
        tnr=tnr,
        accuracy=accuracy,
        auc=auc(z, y),
        ece=calibration_error(z, y),
        reward=expected_reward(accuracy),
    )


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, Flags]:
    z, y = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=bool)
    if z.ndim != 1 or z.shape != y.shape or not len(z):
        raise ValueError(
            f"scores {z.shape} and labels {y.shape} must be two equally long rows of one or more"
        )
    if not np.isfinite(z).all():
        raise ValueError("scores must be finite")
    return z, y


def rates(scores: Floats, labels: Flags) -> tuple[float, float]:
    """(true positive rate, true negative rate); NaN for a label that does not occur."""
    decided = scores > 0
    tpr = float(decided[labels].mean()) if labels.any() else float("nan")
    tnr = float(1 - decided[~labels].mean()) if not labels.all() else float("nan")
    return tpr, tnr


def balanced_mcc(tpr: float, tnr: float) -> float:
    """Matthews' correlation at equal prevalence; 0 for a constant answer, as the validators count it."""
    spread = 1 - (tpr - tnr) ** 2
    return (tpr + tnr - 1) / float(np.sqrt(spread)) if spread != 0 else 0.0


def expected_reward(accuracy: float) -> float:
    """Mean reward per query at equal prevalence and even errors: (1.5 a - 0.5)^3, at least 0."""
    return accuracy if accuracy != accuracy else max(0.0, 1.5 * accuracy - 0.5) ** 3


def auc(scores: Floats, labels: Flags) -> float:
    """Area under the ROC curve, ties counted half; NaN with one label only."""
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def calibration_error(scores: Floats, labels: Flags, bins: int = 10) -> float:
    """Expected calibration error of P(roadwork) over equally wide bins, both labels weighted to a half."""
    weights = label_weights(labels)
    chances = 1 / (1 + np.exp(-np.clip(scores, -50, 50)))
    cells = np.minimum((chances * bins).astype(int), bins - 1)
    gaps = np.bincount(cells, weights * (chances - labels), minlength=bins)
    return float(np.abs(gaps).sum())


def label_weights(labels: Flags) -> Floats:
    """Weights that add up to 1, half on each label that occurs."""
    weights = np.zeros(len(labels))
    for side in (labels, ~labels):
        if side.any():
            weights[side] = 1 / side.sum()
    normal: Floats = weights / weights.sum()
    return normal


def bootstrap(
    groups: Sequence[str],
    statistic: Callable[[NDArray[np.intp]], float],
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of `statistic(indices)` when whole groups are drawn with replacement.

    Draws for which the statistic is NaN (a label is missing) are drawn again, so with few groups the interval
    is an optimistic one. (NaN, NaN) when no draw is defined.
    """
    _, inverse, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order, ends = np.argsort(inverse, kind="stable"), np.cumsum(sizes)
    rng = np.random.default_rng(seed)
    values: list[float] = []
    for _ in range(4 * draws):
        picked = rng.integers(len(sizes), size=len(sizes))
        counts = sizes[picked]
        offsets = np.repeat(ends[picked] - np.cumsum(counts), counts)
        value = statistic(order[offsets + np.arange(counts.sum())])
        if value == value:
            values.append(value)
        if len(values) == draws:
            break
    if not values:
        return float("nan"), float("nan")
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)

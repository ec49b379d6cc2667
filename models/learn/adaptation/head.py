"""A new linear layer on frozen features: what it adds to the old one's log-odds, learned with a pull to zero.

The pull is what keeps it from forgetting beside the replay: with nothing to gain it stays what it was. Its
strength is the one that does best on groups left out, "change nothing" among the candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.fusion.rows import balanced
from models.learn.metrics import Floats

FOLDS = 4
PULLS = (100.0, 30.0, 10.0, 3.0, 1.0)
"""Strengths of the pull, in items: at 10 a direction needs about ten items' worth of evidence."""
FEWEST = 20
"""Labels of each class below which no layer is learned."""
DIRECTIONS = 192
WORTH = 0.003
"""Least gain in log-loss, in nats an image, out of fold: less is noise."""


@dataclass(frozen=True)
class Change:
    """What to add to the calibrated log-odds of features x: `weights` @ x + `offset`. `pull` chosen;
    `out_of_fold` (n,) log-odds of the training items by changes that have not seen their group; `losses`
    pull -> log-loss out of fold, that of no change under infinity."""

    weights: Floats
    offset: float
    pull: float
    out_of_fold: Floats
    losses: dict[float, float]

    def __call__(self, log_odds: Floats, x: NDArray[np.float32]) -> Floats:
        found: Floats = log_odds + x.astype(np.float64) @ self.weights + self.offset
        return found


def learn(
    x: NDArray[np.float32],
    log_odds: Floats,
    roadwork: NDArray[np.bool_],
    groups: NDArray[np.str_],
    weights: Floats,
    seed: int = 0,
) -> Change | None:
    """From (n, d) features and (n,) calibrated log-odds, labels, groups and weights; both classes weigh the
    same. None where there are too few labels, or no change does better than nothing out of fold."""
    if min(roadwork.sum(), (~roadwork).sum()) < FEWEST or len(np.unique(groups)) < FOLDS:
        return None
    shares = balanced(roadwork) * weights
    basis = _basis(x)
    reduced: Floats = ((x - basis.mean) @ basis.directions).astype(np.float64)
    folds = _folds(groups, seed)
    tried = {pull: _out_of_fold(reduced, log_odds, roadwork, shares, folds, pull) for pull in PULLS}
    losses = {pull: _loss(found, roadwork, shares) for pull, found in tried.items()}
    losses[np.inf] = _loss(log_odds, roadwork, shares)
    best = min(PULLS, key=lambda pull: losses[pull])
    if losses[best] > losses[np.inf] - WORTH:
        return None
    slope, offset = _fit(reduced, log_odds, roadwork, shares, best)
    mapped: Floats = basis.directions.astype(np.float64) @ slope
    return Change(mapped, offset - float(basis.mean @ mapped), best, tried[best], losses)


@dataclass(frozen=True)
class _Basis:
    """`mean` (d,); `directions` (d, k) principal ones, scaled so that the data has unit variance on average
    along all of them together."""

    mean: NDArray[np.float32]
    directions: NDArray[np.float32]


def _basis(x: NDArray[np.float32]) -> _Basis:
    mean = x.mean(axis=0)
    _, sizes, rows = np.linalg.svd(x - mean, full_matrices=False)
    kept = min(DIRECTIONS, int((sizes > 1e-4 * sizes[0]).sum()) or 1)
    spread = float(np.sqrt((sizes[:kept] ** 2).sum() / len(x) / kept)) or 1.0
    return _Basis(mean, (rows[:kept].T / spread).astype(np.float32))


def _folds(groups: NDArray[np.str_], seed: int) -> NDArray[np.intp]:
    names, inverse = np.unique(groups, return_inverse=True)
    found: NDArray[np.intp] = (np.random.default_rng(seed).permutation(len(names)) % FOLDS)[inverse]
    return found


def _out_of_fold(
    x: Floats,
    log_odds: Floats,
    roadwork: NDArray[np.bool_],
    weights: Floats,
    folds: NDArray[np.intp],
    pull: float,
) -> Floats:
    found = log_odds.copy()
    for fold in range(FOLDS):
        train, test = folds != fold, folds == fold
        slope, offset = _fit(x[train], log_odds[train], roadwork[train], weights[train], pull)
        found[test] += x[test] @ slope + offset
    return found


def _fit(
    x: Floats,
    log_odds: Floats,
    roadwork: NDArray[np.bool_],
    weights: Floats,
    pull: float,
) -> tuple[Floats, float]:
    """Newton's method on the weighted logistic loss with `log_odds` as given, plus pull/2 |slope|^2."""
    features = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    penalty = np.full(features.shape[1], pull)
    penalty[-1] = 1.0
    slope = np.zeros(features.shape[1])
    for _ in range(25):
        chances = 1 / (1 + np.exp(-np.clip(log_odds + features @ slope, -50, 50)))
        gradient = features.T @ (weights * (chances - roadwork)) + penalty * slope
        curvature = (features * (weights * chances * (1 - chances))[:, None]).T @ features
        step = np.linalg.solve(curvature + np.diag(penalty), gradient)
        slope -= step * min(1.0, 5.0 / float(np.abs(features @ step).max() + 1e-12))
        if np.abs(step).max() < 1e-7:
            break
    return slope[:-1], float(slope[-1])


def _loss(log_odds: Floats, roadwork: NDArray[np.bool_], weights: Floats) -> float:
    losses = np.logaddexp(0, np.where(roadwork, -log_odds, log_odds))
    return float((weights * losses).sum() / weights.sum())

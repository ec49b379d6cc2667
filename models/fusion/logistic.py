"""L2 logistic regression on the members' log-odds, with a missing-indicator for each: the baseline.

Newton's method (iteratively reweighted least squares) with step halving; a handful of parameters, no library.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.fusion.rows import REACH, Flags, Floats, Rows, balanced, clip

L2 = 1.0


def newton(
    x: Floats, y: Flags, weights: Floats, l2: float | Floats, steps: int = 100, tolerance: float = 1e-10
) -> Floats:
    """argmin over b of sum(weights * logloss(x @ b, y)) + sum(l2 * b^2) / 2; `l2` a number or one per column.

    Strictly convex for l2 > 0, so the answer exists also for separable labels. A column with l2 = 0 must not
    separate them.
    """
    pull = np.broadcast_to(np.asarray(l2, dtype=np.float64), (x.shape[1],))
    b = np.zeros(x.shape[1])
    loss = _loss(x, y, weights, pull, b)
    for _ in range(steps):
        chance = 0.5 * (1 + np.tanh(0.5 * (x @ b)))
        gradient = x.T @ (weights * (chance - y)) + pull * b
        curvature = (x * (weights * chance * (1 - chance))[:, None]).T @ x + np.diag(pull + 1e-12)
        change = np.linalg.solve(curvature, gradient)
        size, ahead = 1.0, _loss(x, y, weights, pull, b - change)
        while ahead > loss and size > 1e-6:
            size /= 2
            ahead = _loss(x, y, weights, pull, b - size * change)
        if ahead > loss:
            break
        b, loss = b - size * change, ahead
        if np.abs(change).max() < tolerance:
            break
    return b


def _loss(x: Floats, y: Flags, weights: Floats, pull: Floats, b: Floats) -> float:
    z = x @ b
    return float(weights @ np.logaddexp(0, np.where(y, -z, z)) + 0.5 * (pull * b) @ b)


@dataclass(frozen=True)
class Logistic:
    """`intercept` + per member: `slopes` * log-odds if it spoke, else `missing`. `prior` if nobody did.

    `slopes` and `missing` (M,).
    """

    members: tuple[str, ...]
    intercept: float
    slopes: Floats
    missing: Floats
    prior: float = 0.0

    def log_odds(self, rows: Rows) -> Floats:
        """(n,) fused log-odds."""
        there = rows.present
        x = np.where(there, clip(rows.log_odds, REACH), 0.0)
        z = self.intercept + x @ self.slopes + ~there @ self.missing
        fused: Floats = np.where(there.any(axis=1), z, self.prior)
        return fused


def fit(rows: Rows, seed: int = 0, l2: float = L2) -> Logistic:
    """Both labels weigh a half; `seed` changes nothing. All but the intercept is shrunk towards 0."""
    there = rows.present
    x = np.column_stack([np.ones(len(rows)), np.where(there, clip(rows.log_odds, REACH), 0.0), ~there])
    pull = np.full(x.shape[1], l2)
    pull[0] = 0.0
    spoken = there.any(axis=1)
    b = newton(x[spoken], rows.roadwork[spoken], balanced(rows.roadwork[spoken]), pull)
    count = len(rows.members)
    return Logistic(rows.members, float(b[0]), b[1 : 1 + count], b[1 + count :])

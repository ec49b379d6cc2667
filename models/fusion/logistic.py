"""L2 logistic regression on the members' log-odds, with their missing-indicators: the baseline.

Newton's method (iteratively reweighted least squares) with step halving; a handful of parameters, no library.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.fusion.rows import REACH, Flags, Floats, Rows, balanced, clip

L2 = 1.0
MOST_MEMBERS = 8


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
    """A regression for each set of members that can have spoken: the indicators with all their interactions.

    Set number c has member m where bit m of c is 1. `intercepts` (2^M,), that of set 0 being the prior;
    `slopes` (2^M, M), 0 for members that are not in the set.
    """

    members: tuple[str, ...]
    intercepts: Floats
    slopes: Floats

    def log_odds(self, rows: Rows) -> Floats:
        """(n,) fused log-odds."""
        there = rows.present
        spoke = there @ (1 << np.arange(len(self.members)))
        x = np.where(there, clip(rows.log_odds, REACH), 0.0)
        fused: Floats = self.intercepts[spoke] + (x * self.slopes[spoke]).sum(axis=1)
        return fused


def fit(rows: Rows, seed: int = 0, l2: float = L2) -> Logistic:
    """Both labels weigh a half; `seed` changes nothing. All but the intercepts is shrunk towards 0.

    A set learns from every row on which its members spoke, the others not being looked at: else an intercept
    that makes up for one member would decide where that member is absent. A set that has no rows of both
    labels gets what plain indicators without interactions make of it. Raises ValueError for too many members.
    """
    count = len(rows.members)
    if count > MOST_MEMBERS:
        raise ValueError(f"at most {MOST_MEMBERS} members, not {count}: each set of them is fitted")
    sets = (np.arange(2**count)[:, None] >> np.arange(count)) & 1 == 1
    intercept, slopes, missing = _plain(rows, l2)
    intercepts, table = intercept + ~sets @ missing, sets * slopes
    for number, members in enumerate(sets):
        part = rows.pick(np.flatnonzero(rows.present[:, members].all(axis=1)))
        if members.any() and part.roadwork.any() and not part.roadwork.all():
            found = _regress(clip(part.log_odds[:, members], REACH), part, l2)
            intercepts[number], table[number, members] = found[0], found[1:]
    intercepts[0] = 0.0
    return Logistic(rows.members, intercepts, table)


def _plain(rows: Rows, l2: float) -> tuple[float, Floats, Floats]:
    """(intercept, slope per member, what its absence adds)."""
    part = rows.pick(np.flatnonzero(rows.present.any(axis=1)))
    x = np.where(part.present, clip(part.log_odds, REACH), 0.0)
    b = _regress(np.concatenate([x, ~part.present], axis=1), part, l2)
    return float(b[0]), b[1 : 1 + len(rows.members)], b[1 + len(rows.members) :]


def _regress(x: Floats, rows: Rows, l2: float) -> Floats:
    """The intercept, then a number per column."""
    pull = np.full(1 + x.shape[1], l2)
    pull[0] = 0.0
    columns = np.concatenate([np.ones((len(x), 1)), x], axis=1)
    return newton(columns, rows.roadwork, balanced(rows.roadwork), pull)

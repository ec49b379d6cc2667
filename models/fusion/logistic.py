"""L2 logistic regression on the members' log-odds, with their missing-indicators: the baseline.

Newton's method (iteratively reweighted least squares) with step halving; a handful of parameters, no library.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.fusion.rows import REACH, Flags, Floats, Ints, Rows, balanced, clip

L2 = 1.0
MOST = 8


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
        spoke = set_numbers(there)
        fused: Floats = self.intercepts[spoke] + (_filled(rows) * self.slopes[spoke]).sum(axis=1)
        return fused


def set_numbers(there: Flags) -> Ints:
    """(n, K) who is there -> (n,) the number of that set."""
    numbers: Ints = there @ (1 << np.arange(there.shape[1]))
    return numbers


def _filled(rows: Rows) -> Floats:
    return np.where(rows.present, clip(rows.log_odds, REACH), 0.0)


def fit(rows: Rows, seed: int = 0, l2: float = L2) -> Logistic:
    """`seed` changes nothing. Raises ValueError for too many members."""
    owners = np.arange(len(rows.members))
    return Logistic(rows.members, *by_set(_filled(rows), rows.present, owners, rows.roadwork, l2))


def by_set(x: Floats, there: Flags, owners: Ints, roadwork: Flags, l2: float = L2) -> tuple[Floats, Floats]:
    """(intercepts (2^K,), slopes (2^K, D)) of `x` (n, D), whose columns belong to the sources `owners` (D,),
    of which `there` (n, K) says who spoke. Both labels weigh a half; all but the intercepts is shrunk.

    A set learns from every row on which its members spoke, the others not being looked at: else an intercept
    that makes up for one member would decide where that member is absent. A set that has no rows of both
    labels gets what plain indicators without interactions make of it. Raises ValueError for too many sources.
    """
    count = there.shape[1]
    if count > MOST:
        raise ValueError(f"at most {MOST} members, not {count}: each set of them is fitted")
    sets = (np.arange(2**count)[:, None] >> np.arange(count)) & 1 == 1
    some = np.flatnonzero(there.any(axis=1))
    plain = _regress(np.concatenate([x, ~there], axis=1)[some], roadwork[some], l2)
    intercepts = plain[0] + ~sets @ plain[1 + x.shape[1] :]
    slopes = sets[:, owners] * plain[1 : 1 + x.shape[1]]
    for number, members in enumerate(sets[1:], start=1):
        rows, own = np.flatnonzero(there[:, members].all(axis=1)), np.flatnonzero(members[owners])
        if roadwork[rows].any() and not roadwork[rows].all():
            found = _regress(x[np.ix_(rows, own)], roadwork[rows], l2)
            intercepts[number], slopes[number, own] = found[0], found[1:]
    intercepts[0] = 0.0
    return intercepts, slopes


def _regress(x: Floats, roadwork: Flags, l2: float) -> Floats:
    """The intercept, then a number per column."""
    pull = np.full(1 + x.shape[1], l2)
    pull[0] = 0.0
    return newton(np.concatenate([np.ones((len(x), 1)), x], axis=1), roadwork, balanced(roadwork), pull)

"""Meta Fusion (Liang, Qu, Shahbaba; arXiv 2507.20089): a student per subset of the sources, averaged.

With K sources there are 2^K - 1 students: the pairs and triples fuse early, the singles late. They learn from
one another (`students`), a greedy selection weighs them (`selection`), and only those whose inputs all exist
speak. Log-odds are averaged; calibration comes after.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from models.fusion.inputs import Inputs
from models.fusion.rows import Flags, Floats, Rows
from models.fusion.selection import shares

MOST_SOURCES = 6


@dataclass(frozen=True)
class Meta:
    """S students of H hidden units over D + K inputs, stacked; what a student does not use is 0.

    `uses` (S, K) 1 where a student needs a source; `enter` (S H, D + K), `enter_bias` (S H,), `leave` (S, H),
    `skip` (S, D + K), `bias` (S,); `weights` (S,) of the selected, `spare` (S,) of all, for requests on which
    no selected student can speak; `rho` the strength of mutual learning; `prior` when nobody speaks.
    """

    inputs: Inputs
    uses: Floats
    enter: Floats
    enter_bias: Floats
    leave: Floats
    skip: Floats
    bias: Floats
    weights: Floats
    spare: Floats
    rho: float
    prior: float = 0.0

    @property
    def members(self) -> tuple[str, ...]:
        return self.inputs.members

    def log_odds(self, rows: Rows) -> Floats:
        """(n,) fused log-odds."""
        x, there = self.inputs(rows)
        said = (self.shares(there) * self.students(with_gaps(x, there))).sum(axis=1)
        fused: Floats = np.where(there.any(axis=1), said, self.prior)
        return fused

    def students(self, x: Floats) -> Floats:
        """(n, D + K) -> (n, S) log-odds of each."""
        hidden = np.tanh(x @ self.enter.T + self.enter_bias).reshape(len(x), *self.leave.shape)
        said: Floats = (hidden * self.leave).sum(axis=2) + x @ self.skip.T + self.bias
        return said

    def shares(self, there: Flags) -> Floats:
        """(n, K) who is there -> (n, S) weights that add up to 1 over the students whose inputs exist."""
        return shares(complete(there, self.uses > 0), self.weights, self.spare)


def with_gaps(x: Floats, there: Flags) -> Floats:
    """(n, D + K): a column per source says that it is missing."""
    return np.concatenate([x, ~there], axis=1)


def complete(there: Flags, uses: Flags) -> Flags:
    """(n, S) whether all sources of a student are there."""
    missing: Flags = ~there[:, None, :] & uses
    whole: Flags = np.asarray(~missing.any(axis=2))
    return whole


def subsets(sources: int) -> Flags:
    """(2^K - 1, K): every choice but none, small ones first. Raises ValueError for more than six sources."""
    if not 1 <= sources <= MOST_SOURCES:
        raise ValueError(
            f"Meta Fusion takes 1 to {MOST_SOURCES} sources, not {sources}: 2^{sources} students"
        )
    chosen = [each for size in range(1, sources + 1) for each in combinations(range(sources), size)]
    return np.array([[source in each for source in range(sources)] for each in chosen])


def fit(rows: Rows, seed: int = 0) -> Meta:
    from models.fusion.students import fit_meta

    return fit_meta(rows, seed)

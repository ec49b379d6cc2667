"""Folding from cheap to dear: each source that is there moves the state, one that is not leaves it untouched.

What carries over from EHPAL-Net (OpenReview mZJM8hXmVg): residual branches one at a time, a learned scalar
each, and cross gating, where each side is let through by what the other says. The rest of it does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.fusion.inputs import Inputs
from models.fusion.rows import Floats, Rows


@dataclass(frozen=True)
class Residual:
    """K branches on a state h of H numbers that begins at 0; log-odds = h . `head` + `bias`.

    Branch k: e = x @ `encode`[k].T + `shift`[k], then
    h += `scale`[k] * (e * sigmoid(h @ `by_state`[k].T + `ease`[k, 0]) + h * sigmoid(e @ `by_branch`[k].T
    + `ease`[k, 1])).

    `encode` (K, H, D) is 0 outside the branch's own columns; `shift` (K, H), `by_state` and `by_branch`
    (K, H, H), `ease` (K, 2, H), `scale` (K,), `head` (H,). `prior` when nobody speaks.
    """

    inputs: Inputs
    encode: Floats
    shift: Floats
    by_state: Floats
    by_branch: Floats
    ease: Floats
    scale: Floats
    head: Floats
    bias: float
    prior: float = 0.0

    @property
    def members(self) -> tuple[str, ...]:
        return self.inputs.members

    def log_odds(self, rows: Rows) -> Floats:
        """(n,) fused log-odds."""
        x, there = self.inputs(rows)
        said, keeps = self.branches(x)
        state = np.zeros((len(x), len(self.head)))
        for index in range(len(self.scale)):
            folded = self.fold(state, said[:, index], keeps[:, index], index)
            state = np.where(there[:, index : index + 1], folded, state)
        fused: Floats = np.where(there.any(axis=1), (state * self.head).sum(axis=1) + self.bias, self.prior)
        return fused

    def branches(self, x: Floats) -> tuple[Floats, Floats]:
        """(n, K, H) each: what every branch says, and how much of the state it lets through."""
        flat = self.encode.reshape(-1, self.encode.shape[2])
        said = (x @ flat.T).reshape(len(x), *self.shift.shape) + self.shift
        turned = (said[:, :, None, :] * self.by_branch).sum(axis=3)
        return said, _sigmoid(turned + self.ease[:, 1])

    def fold(self, state: Floats, said: Floats, keeps: Floats, index: int) -> Floats:
        """(n, H) after branch `index`, had it spoken everywhere."""
        lets = _sigmoid(state @ self.by_state[index].T + self.ease[index, 0])
        folded: Floats = state + self.scale[index] * (said * lets + state * keeps)
        return folded


def _sigmoid(x: Floats) -> Floats:
    chance: Floats = 0.5 * (1 + np.tanh(0.5 * x))
    return chance


def fit(rows: Rows, seed: int = 0) -> Residual:
    from models.fusion.branches import fit_residual

    return fit_residual(rows, seed)

"""Gated attention over the views of a scene (Ilse, Tomczak, Welling, ICML 2018), beside the members.

A camera's own log-odds is linear in its numbers; the scene's is their mean, weighted by attention over the
cameras that are there. It joins the members in a logistic regression, as one more of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.fusion.inputs import VIEWS
from models.fusion.logistic import Logistic
from models.fusion.rows import REACH, Flags, Floats, Ints, Rows, Scale, clip


@dataclass(frozen=True)
class Pooled:
    """`log_odds` (n,) of the scene, NaN without cameras; `attention` (n, V) adding up to 1 over the cameras
    there are; `views` (n, V) log-odds of each, NaN where absent; `largest` max_v p_v and `noisy_or`
    1 - prod(1 - p_v), (n,) in [0, 1], NaN without cameras."""

    log_odds: Floats
    attention: Floats
    views: Floats
    largest: Floats
    noisy_or: Floats


@dataclass(frozen=True)
class Pool:
    """d numbers per camera, `scale`d, and d flags for those missing; H gates.

    `look` and `gate` (H, 2 d), `look_bias` and `gate_bias` (H,), `rank` (H,), `slope` (2 d,), `bias`.
    """

    scale: Scale
    look: Floats
    look_bias: Floats
    gate: Floats
    gate_bias: Floats
    rank: Floats
    slope: Floats
    bias: float

    def __call__(self, views: Floats) -> Pooled:
        """(n, V, d) -> the scene. The cameras are put in an order of their own first and absent ones left
        out, so that neither their order nor absent ones change a bit."""
        order = in_order(views)
        back = np.argsort(order, axis=1)
        return _pooled(*self._attend(views, order), back)

    def scene(self, views: Floats) -> Floats:
        """(n,) the `log_odds` alone, which is what serving needs."""
        own, attention, there = self._attend(views, in_order(views))
        return _scene(own, attention, there)

    def _attend(self, views: Floats, order: Ints) -> tuple[Floats, Floats, Flags]:
        """(n, V) each in `order`: log-odds, attention, and which cameras are there."""
        ordered = views[np.arange(len(views))[:, None], order]
        there: Flags = np.asarray(~np.isnan(ordered).all(axis=2))
        x = prepare(self.scale, ordered[there])
        gates = np.tanh(x @ self.look.T + self.look_bias) * _sigmoid(x @ self.gate.T + self.gate_bias)
        return spread(x @ self.slope + self.bias, there), softmax(spread(gates @ self.rank, there)), there


def _pooled(own: Floats, attention: Floats, there: Flags, back: Ints) -> Pooled:
    some = there.any(axis=1)
    safe = np.where(there, clip(own, REACH), -np.inf)
    nothing = in_turn(np.where(there, -np.logaddexp(0, safe), 0.0))
    largest = _sigmoid(safe.max(axis=1, initial=-np.inf))
    return Pooled(
        _scene(own, attention, there),
        np.take_along_axis(attention, back, axis=1),
        np.take_along_axis(own, back, axis=1),
        np.where(some, largest, np.nan),
        np.where(some, -np.expm1(nothing), np.nan),
    )


def _scene(own: Floats, attention: Floats, there: Flags) -> Floats:
    scene = in_turn(np.where(there, attention * own, 0.0))
    found: Floats = np.where(there.any(axis=1), scene, np.nan)
    return found


def in_order(views: Floats) -> Ints:
    """(n, V) an order of the cameras by their numbers, absent ones last."""
    return np.lexsort(views.transpose(2, 0, 1), axis=-1)


def prepare(scale: Scale, views: Floats) -> Floats:
    """(P, d) cameras -> (P, 2 d): standardised, what is missing 0 and flagged."""
    x = scale(clip(views, REACH))
    missing = np.isnan(x)
    return np.concatenate([clip(np.where(missing, 0.0, x), REACH), missing], axis=1)


def spread(values: Floats, there: Flags) -> Floats:
    """(P,) of the cameras that are there -> (n, V), NaN elsewhere."""
    whole = np.full(there.shape, np.nan)
    whole[there] = values
    return whole


def softmax(scores: Floats) -> Floats:
    """Over the last axis, NaN left out (0)."""
    missing = np.isnan(scores)
    top = np.where(missing, -np.inf, scores).max(axis=1, keepdims=True, initial=-REACH)
    raised = np.where(missing, 0.0, np.exp(scores - top))
    total = in_turn(raised)[:, None]
    share: Floats = raised / np.where(total > 0, total, 1.0)
    return share


def in_turn(values: Floats) -> Floats:
    """(n, V) -> (n,), added up one after the other: zeros at the end change nothing."""
    return np.concatenate([values, np.zeros((len(values), 1))], axis=1).cumsum(axis=1)[:, -1]


def _sigmoid(x: Floats) -> Floats:
    chance: Floats = 0.5 * (1 + np.tanh(0.5 * x))
    return chance


@dataclass(frozen=True)
class Attention:
    """`pool` over the cameras, and `joint` over the members and the scene, whose name there is "views"."""

    members: tuple[str, ...]
    pool: Pool
    joint: Logistic

    def log_odds(self, rows: Rows) -> Floats:
        """(n,) fused log-odds."""
        return self.joint.log_odds(with_scene(rows, self.scene(rows)))

    def scene(self, rows: Rows) -> Floats:
        """(n,) log-odds of the pooled cameras, NaN without."""
        return np.full(len(rows), np.nan) if rows.views is None else self.pool.scene(rows.views)


def with_scene(rows: Rows, scene: Floats) -> Rows:
    """`rows` with the scene as one more member."""
    log_odds = np.concatenate([rows.log_odds, scene[:, None]], axis=1)
    return replace(rows, members=(*rows.members, VIEWS), log_odds=log_odds)


def fit(rows: Rows, seed: int = 0) -> Attention:
    from models.fusion.pooling import fit_attention

    return fit_attention(rows, seed)

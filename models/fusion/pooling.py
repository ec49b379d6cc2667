"""How attention over the cameras is learned; torch."""

from __future__ import annotations

import numpy as np
import torch

from models.fusion.attention import Attention, Pool, prepare, with_scene
from models.fusion.logistic import fit as fit_logistic
from models.fusion.rows import REACH, Floats, Rows, balanced, fit_scale
from models.fusion.training import descend, dropped, folds, generator, normal, tidy, weighted_loss

HIDDEN = 8
STEPS = 200
PARTS = 3


def fit_attention(rows: Rows, seed: int = 0) -> Attention:
    """The joint regression learns from scenes that their pool never saw; the pool kept is one of all rows.

    Raises ValueError without cameras.
    """
    if rows.views is None or np.isnan(rows.views).all():
        raise ValueError("no row tells cameras apart")
    fold = folds(rows, PARTS, seed)
    scene = np.full(len(rows), np.nan)
    for part in range(PARTS):
        held = fold == part
        scene[held] = fit_pool(rows.pick(~held), seed)(rows.views[held]).log_odds
    return Attention(rows.members, fit_pool(rows, seed), fit_logistic(with_scene(rows, scene)))


def fit_pool(rows: Rows, seed: int = 0) -> Pool:
    """On the rows that have cameras, a share of which each step does not see."""
    views = np.zeros((len(rows), 0, 0)) if rows.views is None else rows.views
    rows, views = _with_cameras(rows, views)
    scale = fit_scale(np.clip(views, -REACH, REACH))
    x = prepare(scale, views.reshape(-1, views.shape[2])).reshape(*views.shape[:2], -1)
    seen = torch.from_numpy(x)
    there = torch.from_numpy(~np.isnan(views).all(axis=2))
    target = torch.from_numpy(rows.roadwork.astype(np.float64))
    weights = torch.from_numpy(balanced(rows.roadwork))
    parameters = _begin(x.shape[2], generator(seed, 0))
    dice = generator(seed, 1)

    def loss(step: int) -> torch.Tensor:
        return weighted_loss(_scene(parameters, seen, dropped(there, dice)), target, weights)

    descend(parameters, loss, STEPS, lambda step: None, decay=0.01)
    look, look_bias, gate, gate_bias, rank, slope, bias = map(tidy, parameters)
    return Pool(scale, look, look_bias, gate, gate_bias, rank, slope, float(bias))


def _with_cameras(rows: Rows, views: Floats) -> tuple[Rows, Floats]:
    some = np.flatnonzero((~np.isnan(views)).any(axis=(1, 2)))
    return rows.pick(some), views[some]


def _begin(columns: int, dice: torch.Generator) -> list[torch.Tensor]:
    return [
        normal((HIDDEN, columns), columns**-0.5, dice),
        normal((HIDDEN,), 0.01, dice),
        normal((HIDDEN, columns), columns**-0.5, dice),
        normal((HIDDEN,), 0.01, dice),
        normal((HIDDEN,), HIDDEN**-0.5, dice),
        normal((columns,), 0.1, dice),
        normal((), 0.01, dice),
    ]


def _scene(parameters: list[torch.Tensor], x: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    """(n, V, 2 d), (n, V) -> (n,), as `Pool`; every row has a camera."""
    look, look_bias, gate, gate_bias, rank, slope, bias = parameters
    gates = torch.tanh(x @ look.T + look_bias) * torch.sigmoid(x @ gate.T + gate_bias)
    attention = torch.softmax((gates @ rank).masked_fill(~there, -torch.inf), dim=1)
    return (attention * (x @ slope + bias)).sum(dim=1)

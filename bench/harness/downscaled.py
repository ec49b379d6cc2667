"""Downscaling at equal tokens: a model whose tokens follow the pixels sees a coarser grid."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from models.vlm.small.network import SmallNetwork

SQUARE = 1.5
"""A grid's longer side is at most so many times the shorter one."""


def shape(side: int, share: float) -> tuple[int, int]:
    """(rows, columns) of the grid that comes nearest to `share` of `side` x `side` cells."""
    grids = [(rows, columns) for rows in range(1, side + 1) for columns in range(rows, side + 1)]
    fits = [(rows, columns) for rows, columns in grids if columns <= SQUARE * rows]
    return min(fits, key=lambda each: abs(each[0] * each[1] - share * side * side))


def pooled(network: SmallNetwork, maps: Tensor, grid: tuple[int, int]) -> Tensor:
    """(batch, views, rows * columns, width) tokens of maps (batch, views, features, g, g): pooled, positions
    averaged alike."""
    side = network.shape.grid
    small = functional.adaptive_avg_pool2d(maps.flatten(0, 1), grid).reshape(*maps.shape[:3], *grid)
    cells = network.cells.T.reshape(1, -1, side, side)
    where = functional.adaptive_avg_pool2d(cells, grid).flatten(2)[0].T
    tokens: Tensor = network.project(network.norm(small.flatten(3).transpose(2, 3))) + where
    return tokens

"""From a map of chances to boxes: connected components, each with the class its cells speak for most."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.core import Box
from models.regions.look import Window

MOST = 20
"""Boxes of one view; the surest are kept."""

Chances = NDArray[np.float64]


def components(mask: NDArray[np.bool_]) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """(rows, columns) of every group of true cells that touch along an edge or at a corner."""
    left = {(int(row), int(column)) for row, column in np.argwhere(mask)}
    found = []
    while left:
        group, edge = [], [left.pop()]
        while edge:
            row, column = edge.pop()
            group.append((row, column))
            near = {(row + down, column + across) for down in (-1, 0, 1) for across in (-1, 0, 1)} & left
            left -= near
            edge += near
        rows, columns = np.array(sorted(group)).T
        found.append((rows, columns))
    return found


def boxes(chances: Chances, window: Window, labels: tuple[str, ...], threshold: float) -> list[Box]:
    """Of one view, best first. `chances` (classes, height, width) in [0, 1], class 0 "is part of works";
    `window` what of the view the map covers."""
    found = []
    for rows, columns in components(chances[0] >= threshold):
        cells = chances[:, rows, columns]
        label = labels[_named(cells)]
        x0, x1 = _edges(columns, chances.shape[2], window[0], window[2])
        y0, y1 = _edges(rows, chances.shape[1], window[1], window[3])
        found.append(Box(0, label, float(cells[0].max()), x0, y0, x1, y1))
    return sorted(found, key=lambda box: -box.score)[:MOST]


def _named(cells: Chances) -> int:
    """The class with the largest mean chance if some cell is more likely than not of it; else 0, "works"."""
    best = 1 + int(cells[1:].mean(axis=1).argmax())
    return best if cells[best].max() >= 0.5 else 0


def _edges(cells: NDArray[np.intp], count: int, low: float, high: float) -> tuple[float, float]:
    scale = (high - low) / count
    first, last = low + int(cells.min()) * scale, low + (int(cells.max()) + 1) * scale
    return max(0.0, first), min(1.0, last)


def features(
    chances: Chances, found: list[Box], labels: tuple[str, ...], threshold: float
) -> dict[str, float]:
    """Named finite numbers: the largest chance, the share of cells above `threshold`, the number of boxes,
    the lowest edge of any (1 is the view's lower edge, 0 without boxes), the largest chance of each class."""
    return {
        "max": float(chances[0].max()),
        "area": float((chances[0] >= threshold).mean()),
        "count": float(len(found)),
        "lowest": max((box.y1 for box in found), default=0.0),
        **{f"max_{name}": float(plane.max()) for name, plane in zip(labels[1:], chances[1:], strict=True)},
    }

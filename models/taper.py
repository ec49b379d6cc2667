"""Whether cones, drums or barriers in a view stand in a line that narrows the road.

A line of devices along the road meets the horizon where the road does; the line of a taper, which leans from
the kerb into a lane, meets it elsewhere (Hartley and Zisserman, Multiple View Geometry, 8.6).
The horizon is where the feet of ever smaller devices tend to. A camera that looks aside by more than `LEAN`
cannot be told from a taper, so weak tapers are not claimed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from models.core import Box

HORIZON, HIGHEST, LOWEST = 0.46, 0.3, 0.62
"""Where it is taken to be, and between which it may be found, in heights of the view from its upper edge."""
LEAN = 0.2
"""How far from the middle, in widths of the view, a taper's line meets the horizon at the least."""
LINE = 4
"""Devices of the shortest line."""

Side = Literal["left", "right"]


@dataclass(frozen=True, slots=True)
class Taper:
    """`devices` in the line; `side` of the road that it closes."""

    devices: int
    side: Side


def taper(devices: Sequence[Box]) -> Taper | None:
    """The line of these devices of one view if it narrows the road, at least `LINE` of them."""
    line = sorted(devices, key=lambda box: (-box.y1, box.x0, box.x1))
    if len(line) < LINE:
        return None
    leaning = line[: max(LINE - 1, (len(line) + 1) // 2)]  # the farther half follows the lane again
    fitted = _fit([(box.y1, _middle(box)) for box in leaning])
    if fitted is None:
        return None
    slope, start = fitted
    away = start + slope * _horizon(line) - 0.5
    near = _middle(line[0]) - 0.5
    if abs(away) < LEAN or away * near >= 0:
        return None
    return Taper(len(line), "right" if near > 0 else "left")


def _horizon(line: Sequence[Box]) -> float:
    """Where devices of no height would stand, in heights of the view; `HORIZON` if the line cannot tell."""
    fitted = _fit([(box.y1, box.y1 - box.y0) for box in line])
    if fitted is None or fitted[0] <= 0:
        return HORIZON
    return min(max(-fitted[1] / fitted[0], HIGHEST), LOWEST)


def _fit(points: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """(slope, start) of the least-squares line; None when all points have one first coordinate."""
    count = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if spread < 1e-6:
        return None
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    return slope, mean_y - slope * mean_x


def _middle(box: Box) -> float:
    return (box.x0 + box.x1) / 2

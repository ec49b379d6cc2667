"""Which parts of a view are looked at: around what others saw, else five that overlap."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from models.core import Box

Window = tuple[float, float, float, float]
"""Left, top, right, bottom relative to the view, in [0, 1]."""

WHOLE: Window = (0.0, 0.0, 1.0, 1.0)
SHARE = 0.6
"""Side of a part over that of what it is a part of."""
LEAST = 0.25
"""Least side of a window around a box: what stands around a cone says whether it closes a lane."""
GROWN = 2.0
"""Side of that window over the box's."""
SAME = 0.5
"""Windows that overlap by more than this (intersection over union) are one."""


def parts(window: Window) -> list[Window]:
    """The four corners of `window` and its middle, each `SHARE` of its sides."""
    x0, y0, x1, y1 = window
    width, height = SHARE * (x1 - x0), SHARE * (y1 - y0)
    corners = [(x0, y0), (x1 - width, y0), (x0, y1 - height), (x1 - width, y1 - height)]
    middle = ((x0 + x1 - width) / 2, (y0 + y1 - height) / 2)
    return [(left, top, left + width, top + height) for left, top in (*corners, middle)]


def around(boxes: Sequence[Box], most: int) -> list[tuple[Window, float]]:
    """At most `most` windows around the boxes of one view, surest first, each with its box's score."""
    found: list[tuple[Window, float]] = []
    for box in sorted(boxes, key=lambda each: (-each.score, each.x0, each.y0)):
        window = _around(box)
        if all(overlap(window, other) <= SAME for other, _ in found):
            found.append((window, box.score))
    return found[:most]


def _around(box: Box) -> Window:
    left, right = _stretch(box.x0, box.x1)
    top, bottom = _stretch(box.y0, box.y1)
    return left, top, right, bottom


def _stretch(low: float, high: float) -> tuple[float, float]:
    """`GROWN` times as long, at least `LEAST`, moved to lie in [0, 1]."""
    length = min(max(GROWN * (high - low), LEAST), 1.0)
    start = min(max((low + high - length) / 2, 0.0), 1.0 - length)
    return start, start + length


def overlap(one: Window, other: Window) -> float:
    """Intersection over union, in [0, 1]."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / (area(one) + area(other) - common)


def area(window: Window) -> float:
    """Share of the view, in [0, 1]."""
    return (window[2] - window[0]) * (window[3] - window[1])


def cut(image: Image.Image, window: Window) -> Image.Image:
    """The window's pixels, at least one each way."""
    left, top = int(window[0] * image.width), int(window[1] * image.height)
    right = max(left + 1, round(window[2] * image.width))
    bottom = max(top + 1, round(window[3] * image.height))
    return image.crop((left, top, right, bottom))

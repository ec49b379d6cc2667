"""Pairs of crops from one frame: one shows works, the other the same street without any.

All frames of a set of works show works, so streets without have to come from elsewhere, and a model learns
the camera instead. Both crops of a pair have the same camera, weather, size and height above the road.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from PIL import Image

from models.imaging.decode import decode
from models.imaging.header import ImageError
from models.learn.importing.bring import LIMITS, QUALITY
from models.learn.importing.row import Box, Row

STRENGTH = "crop"
MARGIN = 0.02
"""Share of the frame's width that is kept clear of a box."""
LEAST, MOST = 0.25, 0.6
"""Width of a crop over the frame's."""
LEAST_PX = 96
ASPECT = 4 / 3


def with_pairs(rows: Iterable[Row]) -> Iterator[Row]:
    """Every row, each that has boxes of works followed by the two crops of its frame, where it has room."""
    for row in rows:
        yield row
        yield from _pair(row)


def _pair(row: Row) -> Iterator[Row]:
    if not row.boxes:
        return
    try:
        frame = decode(row.image, LIMITS).image
    except ImageError:
        return  # whoever takes the frame itself says so
    for works, place in zip((True, False), places(frame.size, row.boxes) or (), strict=False):
        name = f"{row.name}-{'works' if works else 'street'}"
        image = _jpeg(frame.crop(place))
        yield replace(row, image=image, roadwork=works, name=name, strength=STRENGTH, boxes=())


def places(size: tuple[int, int], boxes: Sequence[Box]) -> tuple[tuple[int, int, int, int], ...] | None:
    """(left, top, right, bottom) in pixels of the crop around the largest box, and of one that no box
    touches; None without room for it."""
    wide, high = size
    left, right = clear(boxes)
    width = round(min(right - left, MOST) * wide)
    if width < max(LEAST * wide, LEAST_PX):
        return None
    height = min(high, round(width / ASPECT))
    x0, y0, x1, y1 = max(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
    top = _within((y0 + y1) / 2 * high - height / 2, high - height)
    works = _within((x0 + x1) / 2 * wide - width / 2, wide - width)
    street = _within((left + right) / 2 * wide - width / 2, wide - width)
    return tuple((start, top, start + width, top + height) for start in (works, street))


def clear(boxes: Sequence[Box]) -> tuple[float, float]:
    """The widest stretch of the frame, from left to right, that no box reaches into."""
    best, free = (0.0, 0.0), 0.0
    for left, _, right, _ in [*sorted(boxes), (1.0 + MARGIN, 0.0, 1.0, 1.0)]:
        best = max(best, (free, left - MARGIN), key=lambda gap: gap[1] - gap[0])
        free = max(free, right + MARGIN)
    return best


def _within(start: float, most: int) -> int:
    return min(max(round(start), 0), most)


def _jpeg(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=QUALITY)
    return data.getvalue()

"""How a frame is shown to the region member: whole, its shape kept, with no letterbox bars around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

STRIDE = 32
WIDEST = 2.5
"""Frames more stretched than this are squeezed to it."""

BLACK = 14
"""A row or column whose mean brightness (of 255) stays below this belongs to a black bar."""
LEAST_BAR, MOST_BAR = 0.04, 0.4
"""Share of the edge that a bar on either side must and may take; thinner ones cost little, thicker ones are
night."""

Window = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Look:
    """`pixels` float32 (3, height, width) in [-1, 1], both multiples of `STRIDE`; `window` the part of the
    view that they show (left, top, right, bottom, relative to the view, in [0, 1])."""

    pixels: NDArray[np.float32]
    window: Window


def look(image: Image.Image, side: int) -> Look:
    """An RGB image of any size -> about `side` * `side` pixels of it. Thread-safe."""
    box = without_bars(image)
    width, height = grid(box[2] - box[0], box[3] - box[1], side)
    small = image.resize((width, height), Image.Resampling.BILINEAR, box)
    pixels = np.asarray(small, dtype=np.float32).transpose(2, 0, 1) / np.float32(127.5) - np.float32(1)
    left, top, right, bottom = box
    window = left / image.width, top / image.height, right / image.width, bottom / image.height
    return Look(np.ascontiguousarray(pixels), window)


def grid(width: int, height: int, side: int) -> tuple[int, int]:
    """(width, height) nearest to the shape of `width` x `height` whose sides are multiples of `STRIDE` and
    whose area is about `side`^2."""
    root = min(max(width / height, 1 / WIDEST), WIDEST) ** 0.5
    across, down = (max(1, round(edge / STRIDE)) * STRIDE for edge in (side * root, side / root))
    return across, down


def without_bars(image: Image.Image) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) in pixels of what a letterbox encloses; the whole image without one."""
    grey = np.asarray(image.convert("L"), dtype=np.float32)
    top, bottom = _bars(grey.mean(axis=1))
    left, right = _bars(grey.mean(axis=0))
    return left, top, image.width - right, image.height - bottom


def _bars(brightness: NDArray[np.float32]) -> tuple[int, int]:
    """Length of the black run at either end; (0, 0) unless both are bars of about the same length."""
    bright = np.flatnonzero(brightness >= BLACK)
    if not len(bright):
        return 0, 0
    length = len(brightness)
    first, last = int(bright[0]), length - 1 - int(bright[-1])
    even = abs(first - last) <= 0.03 * length + 1
    fits = all(LEAST_BAR * length <= run <= MOST_BAR * length for run in (first, last))
    return (first, last) if even and fits else (0, 0)

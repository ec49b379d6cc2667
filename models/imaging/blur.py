"""Faces and number plates made unrecognisable, as far as they are found.

Found by OpenCV's Haar cascades (P. Viola, M. Jones, "Rapid Object Detection using a Boosted Cascade of Simple
Features", 2001), which come inside its package: upright frontal faces and profiles, and plates seen about
frontally. Small, turned or hidden ones are missed, and some road signs are taken for plates: it lowers the
risk, it promises nothing.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.imaging.needs import BlurMissing, check_blur

CASCADES = (
    "haarcascade_frontalface_default.xml",
    "haarcascade_profileface.xml",
    "haarcascade_russian_plate_number.xml",
)
CELLS = 4
"""A found place keeps so many cells across: a face of 4 x 4 cells is nobody's."""
MARGIN = 0.15
"""Grown by this share of its size on every side."""

Box = tuple[int, int, int, int]


def blurred(image: Image.Image) -> tuple[Image.Image, int]:
    """A copy of an RGB image with every place found made coarse, and the number of places."""
    found = places(image)
    copy = image.copy()
    for box in found:
        part = copy.crop(box).resize((CELLS, CELLS), Image.Resampling.BOX)
        copy.paste(part.resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.NEAREST), box[:2])
    return copy, len(found)


def places(image: Image.Image) -> list[Box]:
    """Where faces and plates seem to be: left, top, right, bottom in pixels, within the image."""
    grey = np.asarray(image.convert("L"))
    return [
        _grown((int(x), int(y), int(w), int(h)), image.size)
        for finder in _finders()
        for x, y, w, h in finder.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=4, minSize=(16, 16))
    ]


def _grown(place: Box, size: tuple[int, int]) -> Box:
    x, y, w, h = place
    dx, dy = round(w * MARGIN), round(h * MARGIN)
    return max(0, x - dx), max(0, y - dy), min(size[0], x + w + dx), min(size[1], y + h + dy)


@lru_cache(maxsize=1)
def _finders() -> tuple[Any, ...]:
    check_blur()
    import cv2

    cv2.setNumThreads(1)
    folder = Path(cv2.__file__).parent / "data"
    if not all((folder / name).is_file() for name in CASCADES):
        raise BlurMissing("this OpenCV comes without its cascades: install opencv-python-headless 4.x")
    return tuple(cv2.CascadeClassifier(str(folder / name)) for name in CASCADES)

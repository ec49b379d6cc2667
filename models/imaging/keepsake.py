"""What is kept of a picture: smaller, without metadata, and with a mark by which look-alikes are known."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from models.imaging.blur import blurred
from models.imaging.decode import Limits, decode
from models.imaging.likeness import fingerprint

QUALITY = 88
BLUR_SIDE = 960
"""Shorter side at which faces and plates are looked for, if the picture has it: small ones are lost below."""


@dataclass(frozen=True, slots=True)
class Keepsake:
    """`jpeg` its bytes, `mark` the 64-bit fingerprint, `blurred` how many places were made coarse."""

    jpeg: bytes
    mark: int
    width: int
    height: int
    blurred: int


def keepsake(data: bytes, limits: Limits, side: int, *, blur: bool) -> Keepsake:
    """`side` is the longest side of what is kept, in pixels. Raises ImageError, or BlurMissing."""
    image = decode(data, limits, max(side, BLUR_SIDE) if blur else side).image
    mark = fingerprint(image)
    image, found = blurred(image) if blur else (image, 0)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    bare = Image.fromarray(np.asarray(image))  # a comment in the file would otherwise be saved again
    out = BytesIO()
    bare.save(out, "JPEG", quality=QUALITY, optimize=True)
    return Keepsake(out.getvalue(), mark, bare.width, bare.height, found)

"""Which pictures show the same thing: a difference hash of 64 bits.

dHash (N. Krawetz, "Kind of Like That", 2013): shrink to 9 x 8 grey cells, one bit for each cell that is
darker than its right neighbour. Scaling, JPEG and small changes of light move few bits; cropping moves many.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image

BITS = 64
ALIKE = 6
"""Pictures that differ in so many bits or fewer count as the same. Unrelated ones differ in about 32."""


def fingerprint(image: Image.Image) -> int:
    """64 bits, the upper left cell the highest."""
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    darker = (grey[:, :-1] < grey[:, 1:]).ravel()
    return int.from_bytes(np.packbits(darker).tobytes(), "big")


def distance(one: int, other: int) -> int:
    """How many of the 64 bits differ."""
    return (one ^ other).bit_count()


def like_any(mark: int, others: Iterable[int], most: int = ALIKE) -> bool:
    return any(distance(mark, other) <= most for other in others)

"""One challenge as a validator makes it: from an encoded picture and a seed to the JPEG that goes out."""

from __future__ import annotations

import numpy as np

from models.imaging.decode import decode
from models.imaging.header import Limits
from models.learn.regimes import Regime, draw

LIMITS = Limits(bytes=32 * 2**20, pixels=50_000_000)
"""Of the pictures that challenges are made of: the operator's own files, so wider than the wire's."""


def compose(regime: Regime, picture: bytes, seed: int) -> tuple[bytes, int]:
    """(JPEG bytes, level of distortion) in the given regime; the same arguments give the same bytes.

    Raises ImageError when the picture cannot be read.
    """
    return draw(regime, decode(picture, LIMITS).image, np.random.default_rng(seed))

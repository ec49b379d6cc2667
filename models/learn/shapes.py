"""Challenges whose shape says nothing: every picture takes the size of another one, drawn blind.

In a collection from few sources the size of a picture gives away where it comes from, and so its label.
Where a challenge shows it, as its own size (native) or between bars (letterbox), the sizes of all pictures
are dealt out anew, whatever their labels; the squares of the augmented regime show none. What a picture
shows stays whole: it is scaled, both axes apart, never cut. Tables of its JPEG encoding are the validators'
in every regime.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from models.learn.data import Example
from models.learn.metrics import Floats
from models.learn.regimes import Regime

Shape = tuple[int, int]
"""(width, height) in pixels."""


def shapes_of(examples: Sequence[Example]) -> list[Shape]:
    """Of the files, read from their headers."""
    return [example.size() for example in examples]


def dealt(examples: Sequence[Example], seed: int = 0) -> list[Shape]:
    """The shapes of all `examples`, in an order that knows nothing of them."""
    shapes = shapes_of(examples)
    order = np.random.default_rng([seed, len(shapes)]).permutation(len(shapes))
    return [shapes[index] for index in order]


def reshaped(image: Image.Image, shape: Shape | None, regime: Regime) -> Image.Image:
    """What `regime` draws a challenge from: `image` in the `shape` dealt to it (None: in its own)."""
    if shape is None or regime == "augmented" or image.size == shape:
        return image
    return image.resize(shape, Image.Resampling.BILINEAR)


def features(shapes: Sequence[Shape]) -> Floats:
    """(pictures, 3): width, height, aspect."""
    return np.array([(width, height, width / height) for width, height in shapes], dtype=float)

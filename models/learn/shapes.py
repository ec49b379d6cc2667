"""Native challenges whose size says nothing: every picture takes the size of another one, drawn blind.

In a collection from few sources the size of a picture gives away where it comes from, and so its label. The
224 px regimes show one size only; in the native regime the sizes of all pictures are dealt out anew, whatever
their labels. What a picture shows stays whole: it is scaled, both axes apart, never cut. Tables of its JPEG
encoding are the validators' in every regime.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from models.learn.data import Example
from models.learn.metrics import Floats

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


def reshaped(image: Image.Image, shape: Shape) -> Image.Image:
    return image if image.size == shape else image.resize(shape, Image.Resampling.BILINEAR)


def features(shapes: Sequence[Shape]) -> Floats:
    """(pictures, 3): width, height, aspect."""
    return np.array([(width, height, width / height) for width, height in shapes], dtype=float)

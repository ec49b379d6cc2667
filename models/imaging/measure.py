"""How hard a picture is, in a few cheap numbers: under a millisecond each, and none looks for roadwork."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SAMPLES = 64
"""A grid of this many pixels each way tells light and colour."""
PATCH = 160
"""Detail is measured on a square of at most so many pixels in the middle, at the picture's own resolution."""
DARK, EDGE = 32.0, 24.0
"""Grey levels (of 255): darker than this is dark, a steeper step between neighbours is an edge."""
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
PICTURE = (
    *("brightness", "contrast", "dark", "colour", "sharpness", "edges"),
    *("aspect", "size", "density"),
)
"""Names of what `picture` measures."""


def picture(image: Image.Image, encoded: int) -> dict[str, float]:
    """`PICTURE` of an RGB image that came in `encoded` bytes.

    brightness, contrast: mean and spread of grey, in [0, 1]; dark: share of dark pixels; colour: mean
    distance of the colours from their grey, in [0, 1]; sharpness: log of the Laplacian's variance in the
    middle; edges: share of steep steps there; aspect: log(width / height); size: log2 of the pixels;
    density: log2 of the bits per pixel.
    """
    sampled = np.asarray(image.resize((SAMPLES, SAMPLES), Image.Resampling.NEAREST), dtype=np.float32)
    grey, detail = sampled @ LUMA, _middle(image)
    pixels = image.width * image.height
    return {
        "brightness": float(grey.mean()) / 255,
        "contrast": float(grey.std()) / 255,
        "dark": float((grey < DARK).mean()),
        "colour": float(np.abs(sampled - grey[..., None]).mean()) / 255,
        "sharpness": math.log1p(float(_laplacian(detail).var())),
        "edges": float((_steps(detail) > EDGE).mean()),
        "aspect": math.log(image.width / image.height),
        "size": math.log2(pixels),
        "density": math.log2(max(8 * encoded, 1) / pixels),
    }


def _middle(image: Image.Image) -> NDArray[np.float32]:
    """Grey levels; a picture narrower than three pixels is stretched to them."""
    across, down = min(image.width, PATCH), min(image.height, PATCH)
    left, top = (image.width - across) // 2, (image.height - down) // 2
    patch = image.crop((left, top, left + across, top + down))
    if min(patch.size) < 3:
        patch = patch.resize((max(3, across), max(3, down)), Image.Resampling.NEAREST)
    grey: NDArray[np.float32] = np.asarray(patch, dtype=np.float32) @ LUMA
    return grey


def _laplacian(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    found: NDArray[np.float32] = around - 4 * grey[1:-1, 1:-1]
    return found


def _steps(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """The larger of the two to a pixel's left and upper neighbour."""
    across, down = np.abs(np.diff(grey, axis=1))[1:], np.abs(np.diff(grey, axis=0))[:, 1:]
    larger: NDArray[np.float32] = np.maximum(across, down)
    return larger

"""A smaller picture: the plain control. It spares the vision encoder's work too, which no pruning does.

The share kept is of pixels, so that tokens of an encoder whose tokens follow the pixels go down alike; one
that always sees its own size (most do) scales back up, and only detail is lost.
"""

from __future__ import annotations

from PIL import Image

from models.compress.step import Step


def shrink(image: Image.Image, step: Step) -> Image.Image:
    """Both sides times the root of the share, at least a pixel, by area averaging."""
    if step.kept == 1:
        return image
    sides = [max(1, round(side * step.kept**0.5)) for side in image.size]
    return image.resize((sides[0], sides[1]), Image.Resampling.BOX)

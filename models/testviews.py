"""Ways to show one image to a classifier several times (test-time views); their log-odds are averaged.

A network that sees a centre square loses what stands at the edges, one that sees the whole frame squeezed or
between bars sees small things smaller: mistakes that are not all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from PIL import Image

WHOLE = ("whole",)
"""Only the image as the checkpoint's own preprocessor takes it."""


def centre(image: Image.Image) -> Image.Image:
    """The largest square in the middle."""
    return _square(image, 0.5)


def left(image: Image.Image) -> Image.Image:
    """The largest square at the left, or at the top of an upright image."""
    return _square(image, 0.0)


def right(image: Image.Image) -> Image.Image:
    """The largest square at the right, or at the bottom of an upright image."""
    return _square(image, 1.0)


def letterbox(image: Image.Image) -> Image.Image:
    """The whole image in the middle of a black square."""
    side = max(image.size)
    canvas = Image.new("RGB", (side, side))
    canvas.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return canvas


def _square(image: Image.Image, along: float) -> Image.Image:
    side = min(image.size)
    x, y = round((image.width - side) * along), round((image.height - side) * along)
    return image.crop((x, y, x + side, y + side))


VIEWS: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "whole": lambda image: image,
    "centre": centre,
    "letterbox": letterbox,
    "left": left,
    "right": right,
}


def checked(views: Sequence[str]) -> tuple[str, ...]:
    """Raises ValueError for none, for one twice and for one that there is not."""
    names = tuple(views)
    if not names or len(set(names)) < len(names) or not set(names) <= set(VIEWS):
        raise ValueError(f"views are some of {', '.join(VIEWS)}, each at most once, not {list(views)}")
    return names

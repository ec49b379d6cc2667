"""Which pixel of a scene shows which part of the works: every item painted once more, in its label's ink."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from PIL import Image, ImageDraw

from models.scenes.canvas import Canvas, Item

LABELS = ("works", "cone", "drum", "barrier", "sign", "machine", "worker")
"""What items are labelled with; "works" for heaps and trenches, which have no name of their own."""


@dataclass
class _Stencil:
    """Stands in for a canvas's pen: the same shapes, whatever their colour, in one ink."""

    pen: ImageDraw.ImageDraw
    ink: int = 0

    def polygon(self, points: Any, fill: Any = None) -> None:
        self.pen.polygon(points, fill=self.ink)

    def rectangle(self, box: Any, fill: Any = None) -> None:
        self.pen.rectangle(box, fill=self.ink)

    def ellipse(self, box: Any, fill: Any = None) -> None:
        self.pen.ellipse(box, fill=self.ink)


def trace(canvas: Canvas, items: Sequence[Item]) -> Image.Image:
    """The labels `canvas` sees, mode "L": 0, or 1 + the index in `LABELS`; `items` from far to near."""
    labels = Image.new("L", canvas.image.size)
    stencil = _Stencil(ImageDraw.Draw(labels))
    blank = replace(canvas, image=labels, pen=cast(ImageDraw.ImageDraw, stencil))
    for item in items:
        stencil.ink = LABELS.index(item.label) + 1 if item.label else 0
        item.paint(blank)
    return labels

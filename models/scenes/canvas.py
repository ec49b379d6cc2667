"""A camera above a flat road and the few shapes that everything in a scene is drawn with.

Space is in metres: x to the right, y up from the road, z away from the camera.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float, float]
NEAR = 1.5
"""Nothing is drawn closer than this many metres."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """An image with its camera: `focal`, `centre` and `horizon` in px, `eye` in metres above the road."""

    image: Image.Image
    pen: ImageDraw.ImageDraw
    focal: float
    centre: float
    horizon: float
    eye: float

    def project(self, point: Point) -> tuple[float, float]:
        x, y, z = point
        scale = self.focal / max(z, NEAR)
        return self.centre + x * scale, self.horizon + (self.eye - y) * scale

    def size(self, metres: float, z: float) -> float:
        """Pixels that `metres` take at depth `z`."""
        return metres * self.focal / max(z, NEAR)

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        self.pen.polygon([self.project(point) for point in points], fill=colour)

    def card(self, x: float, y: float, z: float, width: float, height: float, colour: Colour) -> None:
        """An upright rectangle facing the camera; (x, y) is the middle of its lower edge."""
        left, top = self.project((x - width / 2, y + height, z))
        right, bottom = self.project((x + width / 2, y, z))
        self.pen.rectangle((left, top, max(right, left), max(bottom, top)), fill=colour)

    def disc(self, x: float, y: float, z: float, across: float, down: float, colour: Colour) -> None:
        """An upright ellipse facing the camera around (x, y)."""
        left, top = self.project((x - across / 2, y + down / 2, z))
        right, bottom = self.project((x + across / 2, y - down / 2, z))
        self.pen.ellipse((left, top, max(right, left), max(bottom, top)), fill=colour)

    def ground(self, left: float, right: float, near: float, far: float, colour: Colour) -> None:
        """A rectangle lying on the road."""
        self.polygon([(left, 0, near), (left, 0, far), (right, 0, far), (right, 0, near)], colour)

    def shadow(self, x: float, z: float, width: float) -> None:
        self.disc(x + 0.1 * width, 0.0, z, 1.3 * width, 0.25 * width, (52, 52, 54))


@dataclass(frozen=True, slots=True)
class Item:
    """Something to paint; farther items are painted first. `label`: what part of works it is, "" for none."""

    depth: float
    paint: Callable[[Canvas], None]
    label: str = ""


def open_canvas(width: int, height: int, rng: np.random.Generator) -> Canvas:
    """A black image with a camera as a dashboard or a phone would have it."""
    image = Image.new("RGB", (width, height))
    return Canvas(
        image=image,
        pen=ImageDraw.Draw(image),
        focal=width * float(rng.uniform(0.65, 1.1)),
        centre=width * float(rng.uniform(0.38, 0.62)),
        horizon=height * float(rng.uniform(0.38, 0.55)),
        eye=float(rng.uniform(1.2, 2.2)),
    )


def shade(colour: Colour, factor: float) -> Colour:
    """The colour made darker (factor < 1) or lighter (> 1), within bytes."""
    red, green, blue = (min(255, max(0, round(part * factor))) for part in colour)
    return red, green, blue


def vary(colour: Colour, rng: np.random.Generator, spread: float = 0.15) -> Colour:
    """The colour with its brightness and each channel moved a little at random."""
    lightness = rng.uniform(1 - spread, 1 + spread)
    red, green, blue = (float(part * lightness + rng.normal(0, 6)) for part in colour)
    return shade((round(red), round(green), round(blue)), 1.0)


def pick(choices: Sequence[Colour], rng: np.random.Generator) -> Colour:
    return choices[int(rng.integers(len(choices)))]

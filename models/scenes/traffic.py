"""Cars, vans and people on foot in everyday clothes."""

from __future__ import annotations

import numpy as np

from models.scenes.canvas import Canvas, Colour, Item, pick, shade, vary
from models.scenes.street import Street

PAINTS: tuple[Colour, ...] = (
    *(
        (214, 214, 216),
        (40, 42, 46),
        (120, 124, 130),
        (150, 30, 34),
        (38, 64, 120),
        (90, 96, 80),
        (196, 184, 160),
    ),
    *((232, 120, 30), (224, 184, 40)),
)
CLOTHES: tuple[Colour, ...] = (
    (40, 44, 60),
    (120, 40, 44),
    (200, 196, 190),
    (60, 84, 60),
    (90, 110, 150),
    (226, 130, 60),
)


def drive(street: Street, rng: np.random.Generator) -> list[Item]:
    """Traffic in the lanes, parked cars at the kerb, people on the pavements."""
    items = []
    lanes = np.arange(street.left + street.lane / 2, street.right, street.lane)
    for _ in range(int(rng.integers(0, 7))):
        x = float(lanes[int(rng.integers(len(lanes)))] + rng.normal(0, 0.2))
        items.append(vehicle(x, float(rng.uniform(9, 70)), rng))
    if street.town and rng.random() < 0.5:
        for z in np.arange(rng.uniform(8, 14), 60, 7.0):
            if rng.random() < 0.7:
                items.append(vehicle(street.right + 0.6, float(z), rng))
    for _ in range(int(rng.integers(0, 4))):
        away = float(rng.uniform(0.4, 2.0))
        x = street.right + away if rng.random() < 0.5 else street.left - away
        items.append(person(x, float(rng.uniform(8, 40)), pick(CLOTHES, rng), rng))
    return items


def vehicle(x: float, z: float, rng: np.random.Generator) -> Item:
    """A car, van or lorry seen from behind or from the front, its side too when off the camera's line."""
    kind = int(rng.integers(4))
    width, height, length = ((1.8, 1.45, 4.2), (1.85, 1.7, 4.5), (2.0, 2.3, 5.2), (2.4, 3.3, 8.0))[kind]
    colour, oncoming = vary(pick(PAINTS, rng), rng), bool(rng.random() < 0.4)

    def paint(canvas: Canvas) -> None:
        canvas.shadow(x, z, width)
        _flank(canvas, x, z, width, height, length, colour)
        for wheel in (-0.38, 0.38):
            canvas.card(x + wheel * width, 0, z, 0.24, 0.4, (26, 26, 28))
        waist = 0.55 * height
        canvas.card(x, 0.25, z, width, waist, colour)
        canvas.card(x, 0.25 + waist, z, 0.84 * width, 0.95 * height - 0.25 - waist, shade(colour, 0.95))
        canvas.card(x, 0.3 + waist, z, 0.74 * width, 0.75 * (height - 0.35 - waist), (44, 52, 60))
        lights = (238, 236, 220) if oncoming else (170, 24, 24)
        for side in (-0.4, 0.4):
            canvas.card(x + side * width, 0.62, z, 0.28, 0.16, lights)
        canvas.card(x, 0.42, z, 0.5, 0.13, (214, 214, 208))
        canvas.card(x, 0.25, z, width, 0.14, shade(colour, 0.5))

    return Item(z, paint)


def _flank(
    canvas: Canvas, x: float, z: float, width: float, height: float, length: float, colour: Colour
) -> None:
    side = -np.sign(x) * width / 2 + x
    low, high = 0.3, 0.9 * height
    flank = [(side, low, z), (side, low, z + length), (side, high, z + length), (side, high, z)]
    canvas.polygon(flank, shade(colour, 0.72))
    glass = [(side, 0.6 * height, z + 0.6), (side, 0.6 * height, z + 0.8 * length)]
    glass += [(side, 0.84 * height, z + 0.7 * length), (side, 0.84 * height, z + 0.8)]
    canvas.polygon(glass, (40, 48, 56))


def person(x: float, z: float, coat: Colour, rng: np.random.Generator) -> Item:
    """Someone standing or walking; `coat` colours the upper body."""
    height, trousers = float(rng.uniform(1.55, 1.9)), vary((56, 58, 70), rng, 0.3)
    skin = vary((176, 130, 104), rng, 0.3)

    def paint(canvas: Canvas) -> None:
        canvas.shadow(x, z, 0.4)
        figure(canvas, x, z, height, coat, trousers, skin)

    return Item(z, paint)


def figure(
    canvas: Canvas, x: float, z: float, height: float, coat: Colour, trousers: Colour, skin: Colour
) -> None:
    for leg in (-0.09, 0.09):
        canvas.card(x + leg, 0, z, 0.15, 0.5 * height, trousers)
    canvas.card(x, 0.46 * height, z, 0.42, 0.38 * height, coat)
    for arm in (-0.26, 0.26):
        canvas.card(x + arm, 0.46 * height, z, 0.11, 0.34 * height, shade(coat, 0.85))
    canvas.disc(x, 0.92 * height, z, 0.22, 0.26, skin)

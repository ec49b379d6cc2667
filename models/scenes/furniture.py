"""What stands along any street: trees, lamps, signs, bins, bollards; some orange, to keep a model honest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.scenes.canvas import Canvas, Colour, Item, pick, shade, vary
from models.scenes.street import Street

LEAVES: tuple[Colour, ...] = ((62, 94, 46), (88, 110, 52), (148, 104, 44), (70, 84, 60))
BINS: tuple[Colour, ...] = ((44, 84, 52), (40, 62, 120), (226, 110, 30), (60, 60, 62), (190, 40, 36))
BOLLARDS: tuple[Colour, ...] = ((60, 60, 64), (150, 150, 150), (222, 180, 40), (176, 50, 44), (228, 112, 40))
Maker = Callable[[float, float, np.random.Generator], Item]


def furnish(street: Street, rng: np.random.Generator) -> list[Item]:
    """Street furniture and hard negatives on both sides of the road."""
    makers: tuple[Maker, ...] = (tree, tree, lamp, bollards, wheelie_bin, plate, hoarding, hydrant, bush)
    items = []
    for _ in range(int(rng.integers(6, 22))):
        maker = makers[int(rng.integers(len(makers)))]
        away = float(rng.uniform(0.5, 2.0 + street.pavement + (0 if street.town else 8)))
        x = street.right + away if rng.random() < 0.5 else street.left - away
        items.append(maker(x, float(rng.uniform(7, 70)), rng))
    return items + ([traffic_light(street, rng)] if rng.random() < 0.3 else [])


def tree(x: float, z: float, rng: np.random.Generator) -> Item:
    height, colour = float(rng.uniform(3.5, 9)), vary(pick(LEAVES, rng), rng)
    puffs = [(*rng.normal(0, 0.16 * height, 2), rng.uniform(0.25, 0.5) * height) for _ in range(9)]
    tones = [float(rng.uniform(0.75, 1.2)) for _ in puffs]

    def paint(canvas: Canvas) -> None:
        canvas.shadow(x, z, 0.2 * height)
        canvas.card(x, 0, z, 0.06 * height, 0.6 * height, (84, 66, 50))
        for (across, up, size), tone in zip(puffs, tones, strict=True):
            canvas.disc(x + across, 0.72 * height + up, z, size, 0.8 * size, shade(colour, tone))

    return Item(z, paint)


def bush(x: float, z: float, rng: np.random.Generator) -> Item:
    colour = vary(pick(LEAVES, rng), rng)
    puffs = [(float(rng.normal(0, 0.6)), float(rng.uniform(0.6, 1.3))) for _ in range(5)]

    def paint(canvas: Canvas) -> None:
        for across, size in puffs:
            canvas.disc(x + across, 0.35 * size, z, size, 0.8 * size, colour)

    return Item(z, paint)


def lamp(x: float, z: float, rng: np.random.Generator) -> Item:
    height, colour, reach = float(rng.uniform(6, 10)), vary((92, 94, 98), rng), -np.sign(x) * 1.8

    def paint(canvas: Canvas) -> None:
        canvas.card(x, 0, z, 0.16, height, colour)
        canvas.card(x + reach / 2, height - 0.1, z, abs(reach), 0.1, colour)
        canvas.card(x + reach, height - 0.2, z, 0.6, 0.15, shade(colour, 1.5))

    return Item(z, paint)


def bollards(x: float, z: float, rng: np.random.Generator) -> Item:
    """A row of short posts, some of them orange or yellow with a reflecting band."""
    colour, count = vary(pick(BOLLARDS, rng), rng), int(rng.integers(1, 6))
    banded = bool(rng.random() < 0.4)

    def paint(canvas: Canvas) -> None:
        for step in reversed(range(count)):
            canvas.card(x, 0, z + 1.6 * step, 0.14, 0.95, colour)
            if banded:
                canvas.card(x, 0.7, z + 1.6 * step, 0.14, 0.1, (225, 225, 220))

    return Item(z, paint)


def wheelie_bin(x: float, z: float, rng: np.random.Generator) -> Item:
    colour, width = vary(pick(BINS, rng), rng), float(rng.uniform(0.5, 1.4))

    def paint(canvas: Canvas) -> None:
        canvas.shadow(x, z, width)
        canvas.card(x, 0.08, z, width, 1.0, colour)
        canvas.card(x, 1.05, z, 1.08 * width, 0.1, shade(colour, 0.7))

    return Item(z, paint)


def plate(x: float, z: float, rng: np.random.Generator) -> Item:
    """A permanent traffic sign: stop, speed limit, direction, or a yellow warning diamond."""
    kind, tilt = int(rng.integers(4)), float(rng.uniform(1.8, 2.6))

    def paint(canvas: Canvas) -> None:
        canvas.card(x, 0, z, 0.07, tilt, (140, 142, 145))
        if kind == 0:
            canvas.disc(x, tilt, z, 0.8, 0.8, (180, 30, 34))
            canvas.card(x, tilt - 0.06, z, 0.55, 0.12, (232, 232, 230))
        elif kind == 1:
            canvas.card(x, tilt - 0.45, z, 0.65, 0.85, (228, 228, 226))
            canvas.card(x, tilt - 0.3, z, 0.35, 0.35, (40, 40, 42))
        elif kind == 2:
            canvas.card(x, tilt, z, 2.2, 0.8, (20, 96, 70))
            canvas.card(x, tilt + 0.3, z, 1.6, 0.14, (232, 232, 230))
        else:
            half = 0.5
            ends = [(x, tilt + half, z), (x + half, tilt, z), (x, tilt - half, z), (x - half, tilt, z)]
            canvas.polygon(ends, (232, 196, 40))
            canvas.card(x, tilt - 0.22, z, 0.1, 0.4, (30, 30, 30))

    return Item(z, paint)


def hoarding(x: float, z: float, rng: np.random.Generator) -> Item:
    """An advertisement or shop sign in any colour, orange included."""
    colours = tuple(vary((int(a), int(b), int(c)), rng) for a, b, c in rng.integers(30, 235, (3, 3)))
    width, height = float(rng.uniform(1.5, 4)), float(rng.uniform(0.8, 2))
    if rng.random() < 0.3:
        colours = (vary((232, 122, 34), rng), *colours[1:])

    def paint(canvas: Canvas) -> None:
        canvas.card(x, 0, z, 0.15, 2.2, (90, 90, 92))
        canvas.card(x, 2.2, z, width, height, colours[0])
        canvas.card(x, 2.2 + 0.55 * height, z, 0.7 * width, 0.2 * height, colours[1])
        canvas.card(x - 0.2 * width, 2.2 + 0.2 * height, z, 0.3 * width, 0.15 * height, colours[2])

    return Item(z, paint)


def hydrant(x: float, z: float, rng: np.random.Generator) -> Item:
    colour = vary(pick(((176, 34, 30), (214, 178, 40), (120, 122, 126)), rng), rng)

    def paint(canvas: Canvas) -> None:
        canvas.card(x, 0, z, 0.28, 0.6, colour)
        canvas.disc(x, 0.6, z, 0.32, 0.3, shade(colour, 1.15))

    return Item(z, paint)


def traffic_light(street: Street, rng: np.random.Generator) -> Item:
    z, lit = float(rng.uniform(14, 45)), int(rng.integers(3))
    x = street.right + 0.6

    def paint(canvas: Canvas) -> None:
        canvas.card(x, 0, z, 0.18, 6, (70, 72, 74))
        canvas.card(x - 2.5, 5.9, z, 5, 0.14, (70, 72, 74))
        for head in (x, x - 4.5):
            canvas.card(head, 4.9, z, 0.4, 1.15, (38, 38, 36))
            for index, colour in enumerate(((40, 190, 90), (236, 170, 30), (220, 44, 36))):
                tone = 1.0 if index == lit else 0.3
                canvas.disc(head, 5.1 + 0.36 * index, z, 0.28, 0.28, shade(colour, tone))

    return Item(z, paint)

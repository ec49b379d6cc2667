"""Works on the road: tapers of cones or drums, barriers, signs, boards, diggers, workers, heaps, trenches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.scenes.canvas import Canvas, Colour, Item, shade, vary
from models.scenes.street import Street
from models.scenes.traffic import figure

ORANGE: Colour = (240, 106, 30)
WHITE: Colour = (232, 230, 226)
MACHINE: Colour = (226, 170, 36)
Layer = Callable[[Street, np.random.Generator], list[Item]]


def put_up_works(street: Street, rng: np.random.Generator) -> list[Item]:
    """A closed lane or kerb: always a line of cones, drums or barriers, and one to four things behind it."""
    extras: tuple[Layer, ...] = (_sign, _sign, _board, _digger, _crew, _crew, _heap, _trench, _barricade)
    items = _closure(street, rng)
    for index in rng.choice(len(extras), size=int(rng.integers(1, 5)), replace=False):
        items += extras[int(index)](street, rng)
    return items


def _closure(street: Street, rng: np.random.Generator) -> list[Item]:
    """A line of channelising devices that leans from the kerb into a lane, then follows it."""
    makers = (cone, cone, drum, barrier)
    maker = makers[int(rng.integers(len(makers)))]
    side = 1 if rng.random() < 0.65 else -1
    edge = street.right if side > 0 else street.left
    start, length = float(rng.uniform(5, 13)), float(rng.uniform(10, 35))
    depth = float(rng.uniform(0.4, 1.2)) * street.lane
    spacing = 2.2 if maker is barrier else float(rng.uniform(1.6, 4))
    items = []
    for z in np.arange(start, start + length, spacing):
        inward = depth * min(1.0, (z - start) / (0.5 * length))
        items.append(maker(float(edge - side * inward), float(z), rng))
    return items


def _site(street: Street, rng: np.random.Generator) -> tuple[float, float]:
    """Somewhere near the kerb, in view."""
    edge = street.right if rng.random() < 0.65 else street.left
    return edge - float(np.sign(edge)) * float(rng.uniform(-1.2, 2.0)), float(rng.uniform(8, 28))


def cone(x: float, z: float, rng: np.random.Generator) -> Item:
    height, colour = float(rng.uniform(0.6, 1.0)), vary(ORANGE, rng)
    lean = float(rng.normal(0, 0.02))

    def band(canvas: Canvas, low: float, high: float, tone: Colour) -> None:
        def wide(level: float) -> float:
            return 0.03 + 0.15 * height * (1 - level)

        corners = [
            (x + lean * low - wide(low), low * height, z),
            (x + lean * low + wide(low), low * height, z),
        ]
        corners += [
            (x + lean * high + wide(high), high * height, z),
            (x + lean * high - wide(high), high * height, z),
        ]
        canvas.polygon(corners, tone)

    def paint(canvas: Canvas) -> None:
        canvas.card(x, 0, z, 0.46 * height, 0.05, shade(colour, 0.7))
        band(canvas, 0.05, 1.0, colour)
        band(canvas, 0.42, 0.58, WHITE)
        band(canvas, 0.7, 0.82, WHITE)

    return Item(z, paint, "cone")


def drum(x: float, z: float, rng: np.random.Generator) -> Item:
    colour = vary(ORANGE, rng)

    def paint(canvas: Canvas) -> None:
        canvas.shadow(x, z, 0.6)
        canvas.card(x, 0, z, 0.7, 0.1, (40, 40, 40))
        canvas.card(x, 0.1, z, 0.55, 0.95, colour)
        for level in (0.3, 0.7):
            canvas.card(x, level, z, 0.55, 0.16, WHITE)
        canvas.card(x + 0.2, 0.1, z, 0.12, 0.95, shade(colour, 0.75))

    return Item(z, paint, "drum")


def barrier(x: float, z: float, rng: np.random.Generator) -> Item:
    """One length of plastic or concrete barrier along the road."""
    colour = vary((ORANGE, WHITE, (178, 174, 168))[int(rng.integers(3))], rng, 0.1)

    def paint(canvas: Canvas) -> None:
        side = [(x, 0, z), (x, 0, z + 2), (x, 0.9, z + 2), (x, 0.9, z)]
        canvas.polygon(side, shade(colour, 0.8))
        canvas.card(x, 0, z, 0.6, 0.35, shade(colour, 0.92))
        canvas.card(x, 0.3, z, 0.35, 0.6, colour)
        canvas.card(x, 0.62, z, 0.35, 0.14, ORANGE)

    return Item(z, paint, "barrier")


def _barricade(street: Street, rng: np.random.Generator) -> list[Item]:
    """Boards with slanting stripes across a lane."""
    x, z = _site(street, rng)
    width, boards = float(rng.uniform(1.2, 2.6)), int(rng.integers(1, 4))

    def paint(canvas: Canvas) -> None:
        for post in (-0.45, 0.45):
            canvas.card(x + post * width, 0, z, 0.08, 1.5, (120, 120, 122))
        for board in range(boards):
            low = 0.5 + 0.4 * board
            canvas.card(x, low, z, width, 0.25, WHITE)
            for stripe in np.arange(-width / 2, width / 2 - 0.2, 0.4):
                left = x + stripe
                slant = [(left, low, z), (left + 0.2, low, z), (left + 0.35, low + 0.25, z)]
                canvas.polygon([*slant, (left + 0.15, low + 0.25, z)], ORANGE)
        canvas.disc(x - 0.45 * width, 1.6, z, 0.2, 0.25, (250, 180, 40))

    return [Item(z, paint, "barrier")]


def _sign(street: Street, rng: np.random.Generator) -> list[Item]:
    """An orange diamond on a stand, with a worker or lettering."""
    x, z = _site(street, rng)
    half, foot, lettering = (
        float(rng.uniform(0.5, 0.75)),
        float(rng.uniform(0.3, 1.2)),
        bool(rng.random() < 0.5),
    )
    colour = vary(ORANGE, rng, 0.08)

    def paint(canvas: Canvas) -> None:
        middle = foot + half
        for leg in (-0.3, 0.0, 0.3):
            canvas.polygon([(x, foot, z), (x + leg + 0.04, 0, z), (x + leg - 0.04, 0, z)], (70, 70, 72))
        for size, tone in ((half, (24, 24, 24)), (0.93 * half, colour)):
            ends = [
                (x, middle + size, z),
                (x + size, middle, z),
                (x, middle - size, z),
                (x - size, middle, z),
            ]
            canvas.polygon(ends, tone)
        if lettering:
            for row in (-0.22, 0.02, 0.26):
                canvas.card(x, middle + row * half, z, (1.1 - abs(row)) * half, 0.14 * half, (20, 20, 20))
        else:
            _pictogram(canvas, x, middle, z, half)

    return [Item(z, paint, "sign")]


def _pictogram(canvas: Canvas, x: float, y: float, z: float, half: float) -> None:
    """A figure that digs a heap."""
    black = (20, 20, 20)
    canvas.disc(x - 0.05 * half, y + 0.42 * half, z, 0.18 * half, 0.18 * half, black)
    body = [(x - 0.1 * half, y + 0.32 * half, z), (x + 0.12 * half, y + 0.2 * half, z)]
    canvas.polygon([*body, (x - 0.05 * half, y - 0.4 * half, z), (x - 0.25 * half, y - 0.4 * half, z)], black)
    heap = [(x + 0.1 * half, y - 0.4 * half, z), (x + 0.3 * half, y - 0.15 * half, z)]
    canvas.polygon([*heap, (x + 0.5 * half, y - 0.4 * half, z)], black)
    tool = [(x, y + 0.1 * half, z), (x + 0.05 * half, y + 0.14 * half, z)]
    canvas.polygon(
        [*tool, (x + 0.32 * half, y - 0.2 * half, z), (x + 0.26 * half, y - 0.22 * half, z)], black
    )


def _board(street: Street, rng: np.random.Generator) -> list[Item]:
    """An arrow board on a trailer."""
    x, z = _site(street, rng)
    way, lamp = float(rng.choice([-1, 1])), vary((255, 190, 60), rng, 0.05)
    chassis = vary(ORANGE, rng)

    def paint(canvas: Canvas) -> None:
        canvas.shadow(x, z, 1.6)
        canvas.card(x, 0.3, z, 1.6, 0.35, chassis)
        canvas.card(x, 0.6, z, 0.12, 1.0, (80, 80, 82))
        canvas.card(x, 1.5, z, 2.4, 1.2, (24, 24, 26))
        for step in np.linspace(-0.9, 0.9, 7):
            canvas.disc(x + step, 2.1, z, 0.16, 0.16, lamp)
        for step in (0.2, 0.4):
            for up in (-step, step):
                canvas.disc(x + way * (0.9 - step), 2.1 + up, z, 0.16, 0.16, lamp)

    return [Item(z, paint, "sign")]


def _digger(street: Street, rng: np.random.Generator) -> list[Item]:
    """An excavator, side on."""
    x, z = _site(street, rng)
    z += 4
    colour, way, reach = vary(MACHINE, rng), float(rng.choice([-1, 1])), float(rng.uniform(0.8, 1.3))

    def paint(canvas: Canvas) -> None:
        def at(across: float, up: float) -> tuple[float, float, float]:
            return x + way * across, up, z

        canvas.shadow(x, z, 3.4)
        canvas.card(x, 0, z, 3.2, 0.7, (40, 38, 36))
        for wheel in (-1.2, -0.4, 0.4, 1.2):
            canvas.disc(x + wheel, 0.35, z, 0.5, 0.5, (72, 70, 66))
        canvas.card(x - way * 0.4, 0.8, z, 2.4, 0.9, colour)
        canvas.card(x + way * 0.3, 1.3, z, 1.1, 1.5, shade(colour, 0.85))
        canvas.card(x + way * 0.35, 1.7, z, 0.8, 0.9, (58, 70, 78))
        elbow, hand = (2.4 * reach, 3.4), (3.6 * reach, 1.6)
        canvas.polygon(
            [at(0.8, 1.2), at(0.9, 1.7), at(elbow[0], elbow[1] + 0.2), at(elbow[0], elbow[1] - 0.3)], colour
        )
        arm = [at(elbow[0] - 0.2, elbow[1]), at(elbow[0] + 0.2, elbow[1] + 0.1), at(hand[0] + 0.1, hand[1])]
        canvas.polygon([*arm, at(hand[0] - 0.2, hand[1])], shade(colour, 0.9))
        bucket = [at(hand[0] - 0.3, hand[1]), at(hand[0] + 0.3, hand[1]), at(hand[0] - 0.1, hand[1] - 0.8)]
        canvas.polygon([*bucket, at(hand[0] - 0.7, hand[1] - 0.4)], (60, 58, 56))

    return [Item(z, paint, "machine")]


def _crew(street: Street, rng: np.random.Generator) -> list[Item]:
    """One to three workers in vest and helmet."""
    x, z = _site(street, rng)
    return [
        _worker(x + float(rng.normal(0, 1)), z + float(rng.uniform(0, 3)), rng)
        for _ in range(rng.integers(1, 4))
    ]


def _worker(x: float, z: float, rng: np.random.Generator) -> Item:
    vest = vary(((206, 232, 40), ORANGE)[int(rng.integers(2))], rng, 0.08)
    helmet = ((236, 200, 40), WHITE, ORANGE)[int(rng.integers(3))]
    height, skin = float(rng.uniform(1.6, 1.9)), vary((170, 124, 98), rng, 0.3)

    def paint(canvas: Canvas) -> None:
        canvas.shadow(x, z, 0.4)
        figure(canvas, x, z, height, vest, (50, 52, 66), skin)
        canvas.card(x, 0.56 * height, z, 0.42, 0.07, (220, 222, 224))
        canvas.card(x, 0.7 * height, z, 0.42, 0.07, (220, 222, 224))
        canvas.disc(x, 0.99 * height, z, 0.28, 0.2, helmet)

    return Item(z, paint, "worker")


def _heap(street: Street, rng: np.random.Generator) -> list[Item]:
    """A heap of earth or gravel."""
    x, z = _site(street, rng)
    colour, size = vary((128, 98, 70), rng), float(rng.uniform(1.2, 3))
    bumps = np.sort(rng.uniform(-0.5, 0.5, 5))

    def paint(canvas: Canvas) -> None:
        ridge = [(x + size * b, 0.55 * size * (1 - 2.2 * b * b) * 0.6, z) for b in bumps.tolist()]
        canvas.polygon([(x - 0.7 * size, 0, z), *ridge, (x + 0.7 * size, 0, z)], colour)
        canvas.polygon([(x, 0, z), *ridge[2:], (x + 0.7 * size, 0, z)], shade(colour, 0.8))

    return [Item(z, paint, "works")]


def _trench(street: Street, rng: np.random.Generator) -> list[Item]:
    """A milled strip or an open trench in the road, under everything that stands."""
    x, z = _site(street, rng)
    width, length = float(rng.uniform(0.6, 2)), float(rng.uniform(4, 15))
    dark, edge = vary((50, 46, 42), rng), vary((118, 92, 66), rng)

    def paint(canvas: Canvas) -> None:
        canvas.ground(x - width / 2 - 0.25, x + width / 2 + 0.25, z, z + length + 0.6, edge)
        canvas.ground(x - width / 2, x + width / 2, z + 0.3, z + length, dark)

    return [Item(z + length, paint, "works")]

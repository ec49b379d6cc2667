"""The empty street: sky, verges, road and markings, houses along both sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from models.scenes.canvas import NEAR, Canvas, Colour, pick, shade, vary

FAR = 160.0
SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((86, 140, 205), (190, 214, 235)),
    ((150, 160, 172), (205, 208, 210)),
    ((110, 130, 165), (235, 190, 150)),
    ((176, 188, 200), (228, 230, 232)),
)
VERGES: tuple[Colour, ...] = ((86, 112, 58), (128, 122, 84), (138, 130, 118), (104, 108, 70), (150, 146, 140))
ASPHALTS: tuple[Colour, ...] = ((88, 88, 92), (112, 112, 114), (70, 71, 76), (132, 128, 122))
WALLS: tuple[Colour, ...] = ((150, 88, 70), (190, 172, 146), (120, 120, 126), (208, 204, 196), (96, 104, 122))


@dataclass(frozen=True, slots=True)
class Street:
    """Edges in metres from the camera's line: the road lies from `left` to `right`, lanes are `lane` wide."""

    left: float
    right: float
    lane: float
    pavement: float
    town: bool


def lay_out(rng: np.random.Generator) -> Street:
    lane = float(rng.uniform(3.0, 3.8))
    offset = float(rng.uniform(0.35, 0.65)) * lane
    lanes_left, lanes_right = int(rng.integers(0, 3)), int(rng.integers(0, 3))
    return Street(
        left=-offset - lanes_left * lane,
        right=lane - offset + lanes_right * lane,
        lane=lane,
        pavement=float(rng.uniform(1.0, 3.0)),
        town=bool(rng.random() < 0.6),
    )


def paint_street(canvas: Canvas, street: Street, rng: np.random.Generator) -> None:
    """Fill the whole canvas with the street's backdrop."""
    _sky(canvas, rng)
    _verges(canvas, rng)
    _skyline(canvas, rng)
    _road(canvas, street, rng)
    _markings(canvas, street, rng)
    if street.town:
        for side in (-1, 1):
            _houses(canvas, street, side, rng)


def _sky(canvas: Canvas, rng: np.random.Generator) -> None:
    top, bottom = SKIES[int(rng.integers(len(SKIES)))]
    ramp = np.linspace(0, 1, max(2, int(canvas.horizon) + 2))[:, None]
    column = (np.array(top) * (1 - ramp) + np.array(bottom) * ramp).astype(np.uint8)[:, None, :]
    sky = Image.fromarray(column).resize((canvas.image.width, len(column)), Image.Resampling.NEAREST)
    canvas.image.paste(sky, (0, 0))
    for _ in range(int(rng.integers(0, 7))):
        x, y = rng.uniform(0, canvas.image.width), rng.uniform(0, 0.8 * canvas.horizon)
        colour = vary((226, 228, 232), rng, 0.06)
        for _ in range(5):
            across = canvas.image.width * rng.uniform(0.03, 0.12)
            left, upper = x + rng.normal(0, across / 2), y + rng.normal(0, across / 10)
            canvas.pen.ellipse((left, upper, left + across, upper + across / 4), fill=colour)


def _verges(canvas: Canvas, rng: np.random.Generator) -> None:
    width, height = canvas.image.size
    colour = pick(VERGES, rng)
    rows = height - int(canvas.horizon)
    texture = rng.normal(0, 9, (max(1, rows // 4), width // 4, 1)) + np.array(colour)
    ground = Image.fromarray(np.clip(texture, 0, 255).astype(np.uint8))
    canvas.image.paste(ground.resize((width, rows)), (0, int(canvas.horizon)))


def _skyline(canvas: Canvas, rng: np.random.Generator) -> None:
    """Far woods, hills or roofs just above the horizon."""
    width = canvas.image.width
    x = 0.0
    colour = vary(pick(((78, 96, 84), (104, 116, 130), (120, 118, 116)), rng), rng)
    while x < width:
        step = width * rng.uniform(0.02, 0.09)
        top = canvas.horizon - width * rng.uniform(0.005, 0.045)
        canvas.pen.rectangle((x, top, x + step, canvas.horizon + 1), fill=vary(colour, rng, 0.06))
        x += step


def _road(canvas: Canvas, street: Street, rng: np.random.Generator) -> None:
    colour = vary(pick(ASPHALTS, rng), rng)
    if street.town:
        slabs = vary((158, 154, 148), rng, 0.08)
        canvas.ground(street.left - street.pavement, street.right + street.pavement, NEAR, 900, slabs)
        for edge in (street.left, street.right):
            canvas.ground(edge - 0.15, edge + 0.15, NEAR, 900, shade(slabs, 0.75))
    canvas.ground(street.left, street.right, NEAR, 900, colour)
    for _ in range(int(rng.integers(2, 9))):
        x, z = rng.uniform(street.left, street.right), rng.uniform(4, 40)
        half, length = rng.uniform(0.1, 0.9), rng.uniform(0.5, 8)
        inside = max(street.left, x - half), min(street.right, x + half)
        canvas.ground(*inside, z, z + length, shade(colour, rng.uniform(0.82, 1.12)))


def _markings(canvas: Canvas, street: Street, rng: np.random.Generator) -> None:
    white, yellow = vary((214, 214, 208), rng, 0.1), vary((202, 166, 62), rng, 0.1)
    for edge in (street.left + 0.25, street.right - 0.25):
        canvas.ground(edge - 0.07, edge + 0.07, NEAR, 300, white)
    lines = np.arange(street.left + street.lane, street.right - 0.5, street.lane)
    centre = int(rng.integers(max(1, len(lines) + 1)))
    for index, line in enumerate(lines):
        if index == centre:
            for offset in (-0.15, 0.15):
                canvas.ground(line + offset - 0.06, line + offset + 0.06, NEAR, 300, yellow)
        else:
            for near in np.arange(NEAR + rng.uniform(0, 6), 120, 9.0):
                canvas.ground(line - 0.07, line + 0.07, near, near + 3.0, white)
    if rng.random() < 0.25:
        stop = float(rng.uniform(9, 25))
        for bar in np.arange(street.left + 0.5, street.right - 0.5, 1.0):
            canvas.ground(bar, bar + 0.5, stop, stop + 3, white)


def _houses(canvas: Canvas, street: Street, side: int, rng: np.random.Generator) -> None:
    edge = street.right + street.pavement if side > 0 else street.left - street.pavement
    edge += side * float(rng.uniform(0.3, 6))
    blocks = []
    near = float(rng.uniform(6, 14))
    while near < FAR:
        length = float(rng.uniform(7, 22))
        blocks.append((near, near + length, float(rng.uniform(4, 18)), vary(pick(WALLS, rng), rng)))
        near += length + (float(rng.uniform(2, 12)) if rng.random() < 0.4 else 0.0)
    for block in reversed(blocks):
        _house(canvas, edge, side, *block)


def _house(
    canvas: Canvas, x: float, side: int, near: float, far: float, height: float, colour: Colour
) -> None:
    front = [(x, 0, near), (x + side * 15, 0, near), (x + side * 15, height, near), (x, height, near)]
    canvas.polygon(front, shade(colour, 0.8))
    canvas.polygon([(x, 0, near), (x, 0, far), (x, height, far), (x, height, near)], colour)
    glass = shade(colour, 0.45)
    for floor in np.arange(1.0, height - 1.8, 3.0):
        for z in np.arange(near + 0.8, far - 1.2, 2.6):
            canvas.polygon(
                [(x, floor, z), (x, floor, z + 1.2), (x, floor + 1.5, z + 1.2), (x, floor + 1.5, z)], glass
            )
        for step in np.arange(1.2, 14, 2.8):
            canvas.card(x + side * step, floor, near, 1.2, 1.5, glass)

"""Labelled street scenes that we draw ourselves, for a rehearsal where no real images are at hand.

Deterministic by seed. Both labels come from the same streets, traffic and street furniture; only the works
differ, so that nothing but the works tells them apart. They are cartoons: fit to exercise a miner, not to
measure one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from models.scenes.canvas import Canvas, Item, open_canvas
from models.scenes.furniture import furnish
from models.scenes.light import develop
from models.scenes.stencil import trace
from models.scenes.street import lay_out, paint_street
from models.scenes.traffic import drive
from models.scenes.works import put_up_works

SIZES = ((640, 360), (640, 480), (800, 450), (960, 540), (1024, 768), (1280, 720))
SEEDS_PER_FOLDER = 1_000_000
"""`write_scenes(seed=s)` uses the scene seeds from s times this on, so folders of two seeds share none."""


def render(seed: int, roadwork: bool) -> Image.Image:
    """One scene as an RGB image of one of `SIZES`; `seed` >= 0. Both labels of a seed share their street."""
    canvas, _, rng = _paint(seed, roadwork)
    return develop(canvas.image, rng)


def render_traced(seed: int, roadwork: bool) -> tuple[Image.Image, Image.Image]:
    """`render`'s image, and of the same size where in it which part of the works can be seen: mode "L", 0 for
    none, else 1 + the index in `LABELS`. What hides behind something else does not count."""
    canvas, items, rng = _paint(seed, roadwork)
    return develop(canvas.image, rng), trace(canvas, items)


def _paint(seed: int, roadwork: bool) -> tuple[Canvas, list[Item], np.random.Generator]:
    """The drawing, its items from far to near, and the generator to develop it with."""
    rng = np.random.default_rng([seed, 0])
    width, height = SIZES[int(rng.integers(len(SIZES)))]
    canvas = open_canvas(width, height, rng)
    street = lay_out(rng)
    paint_street(canvas, street, rng)
    objects = [*furnish(street, rng), *drive(street, rng)]
    if roadwork:
        objects += put_up_works(street, np.random.default_rng([seed, 1]))
    objects.sort(key=lambda item: -item.depth)
    for item in objects:
        item.paint(canvas)
    return canvas, objects, rng


def write_scenes(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """Write `count` JPEG scenes, labels in turn, to `folder/roadwork/` and `folder/none/`; their paths.

    Raises ValueError for a count below 1 or above `SEEDS_PER_FOLDER`.
    """
    if not 1 <= count <= SEEDS_PER_FOLDER:
        raise ValueError(f"count must be 1 to {SEEDS_PER_FOLDER}, not {count}")
    return [_write(folder, seed * SEEDS_PER_FOLDER + index, index % 2 == 0) for index in range(count)]


def _write(folder: Path, seed: int, roadwork: bool) -> Path:
    path = folder / ("roadwork" if roadwork else "none") / f"scene_{seed:09d}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    render(seed, roadwork).save(path, quality=90)
    return path

"""Labelled street scenes that we draw ourselves, for a rehearsal where no real images are at hand.

Deterministic by seed. Both labels come from the same streets, traffic and street furniture; only the works
differ, so that nothing but the works tells them apart. They are cartoons: fit to exercise a miner, not to
measure one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from models.scenes.canvas import Canvas, open_canvas
from models.scenes.furniture import furnish
from models.scenes.light import develop
from models.scenes.street import lay_out, paint_street
from models.scenes.traffic import drive
from models.scenes.works import put_up_works

SIZES = ((640, 360), (640, 480), (800, 450), (960, 540), (1024, 768), (1280, 720))
SEEDS_PER_FOLDER = 1_000_000
"""`write_scenes(seed=s)` uses the scene seeds from s times this on, so folders of two seeds share none."""


def render(seed: int, roadwork: bool) -> Image.Image:
    """One scene as an RGB image of one of `SIZES`; `seed` >= 0. Both labels of a seed share their street."""
    rng = np.random.default_rng([seed, 0])
    works = np.random.default_rng([seed, 1])
    width, height = SIZES[int(rng.integers(len(SIZES)))]
    canvas = open_canvas(width, height, rng)
    _paint(canvas, rng, works, roadwork)
    return develop(canvas.image, rng)


def _paint(canvas: Canvas, rng: np.random.Generator, works: np.random.Generator, roadwork: bool) -> None:
    street = lay_out(rng)
    paint_street(canvas, street, rng)
    objects = [*furnish(street, rng), *drive(street, rng)]
    if roadwork:
        objects += put_up_works(street, works)
    for item in sorted(objects, key=lambda item: -item.depth):
        item.paint(canvas)


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

"""Training views for the region head: a look, and what is known about which of its cells show works.

Three kinds of knowledge: a street without works says "none" about every cell; an image with works only says
that some cell has them; a rendered scene, or a patch with works pasted into a street without, says where.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.learn.batches import NONE_SHARE, Stream
from models.learn.data import Example
from models.learn.regimes import REGIMES, crop_box, distort, frame, to_jpeg
from models.learn.views import REGIME_SHARES, lose_detail, mirror, paste, vary_colour, vary_shape
from models.regions.look import Look, look
from models.scenes import render_traced
from models.scenes.stencil import LABELS

UNKNOWN, NOT, IS = -1, 0, 1
CELL = 16
COVERED = 0.15
"""Share of a cell that a thing must cover for the cell to show it; below, but above 0, nothing is claimed."""

CONES_ONLY = "fatima"
"""A source all of whose images with works show cones."""
SCENE_SHARE = 0.25
Known = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Lesson:
    """`image` (classes,) and `cells` (classes, height, width): UNKNOWN, NOT or IS, for all of the look and
    for each cell of its fine map."""

    look: Look
    image: Known
    cells: Known


def make_lesson(stream: Stream, side: int, scene_seed: int, number: int) -> Lesson:
    """The lesson of this number: the same for the same arguments, whatever was made before."""
    rng = np.random.default_rng([stream.seed, 7, number])
    if rng.random() < SCENE_SHARE:
        return _drawn(scene_seed + number, side, rng)
    pool = stream.none if rng.random() < NONE_SHARE else stream.roadwork
    return _photographed(pool.draw(rng), stream, side, rng)


def _photographed(example: Example, stream: Stream, side: int, rng: np.random.Generator) -> Lesson:
    image = lose_detail(mirror(example.load(), rng), rng)
    regime = REGIMES[int(rng.choice(len(REGIMES), p=REGIME_SHARES))]
    level = 0 if regime == "native" else int(rng.integers(4))
    shaped = image if regime == "augmented" else vary_shape(image, rng)
    shown = shaped if regime == "native" else frame(regime, shaped, level, rng)

    def patch(works: bool, draw: np.random.Generator) -> Example:
        return (stream.patches if works and stream.patches else stream.none).draw(draw)

    after, roadwork = (
        paste(shown, example.roadwork, patch, rng) if stream.patches else (shown, example.roadwork)
    )
    pasted = roadwork and not example.roadwork
    touched = np.any(np.asarray(after) != np.asarray(shown), axis=2) if pasted else None
    seen = look(_developed(after, level, rng), side)
    return Lesson(seen, *_knowledge(example, roadwork, touched, seen))


def _developed(image: Image.Image, level: int, rng: np.random.Generator) -> Image.Image:
    return Image.open(io.BytesIO(to_jpeg(distort(vary_colour(image, rng), level, rng)))).convert("RGB")


def _knowledge(
    example: Example, roadwork: bool, touched: NDArray[np.bool_] | None, seen: Look
) -> tuple[Known, Known]:
    cells = np.full((len(LABELS), *cell_shape(seen)), UNKNOWN if roadwork else NOT, np.int8)
    image = np.full(len(LABELS), UNKNOWN if roadwork else NOT, np.int8)
    image[0] = IS if roadwork else NOT
    if touched is not None:
        cells[:, _share(touched, seen) == 0] = NOT
    elif roadwork and example.source == CONES_ONLY:
        image[LABELS.index("cone")] = IS
    return image, cells


def _drawn(seed: int, side: int, rng: np.random.Generator) -> Lesson:
    """Half of the scenes show works; half are a random square of the scene."""
    drawing, labels = render_traced(seed, bool(rng.random() < 0.5))
    if rng.random() < 0.5:
        left, top, edge = crop_box(*drawing.size, rng)
        box = (left, top, left + edge, top + edge)
        drawing, labels = drawing.crop(box), labels.crop(box)
    if rng.random() < 0.5:
        drawing, labels = (each.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for each in (drawing, labels))
    scale = 280 / min(drawing.size)
    size = round(drawing.width * scale), round(drawing.height * scale)
    small = drawing.resize(size, Image.Resampling.BILINEAR)
    seen = look(_developed(small, int(rng.integers(4)), rng), side)
    cells = traced_cells(labels, seen)
    return Lesson(
        seen, np.where((cells == IS).any(axis=(1, 2)), IS, _unless_not(cells)).astype(np.int8), cells
    )


def _unless_not(cells: Known) -> Known:
    return np.where((cells == NOT).all(axis=(1, 2)), NOT, UNKNOWN).astype(np.int8)


def traced_cells(labels: Image.Image, seen: Look) -> Known:
    """What a scene's trace says about each cell; class 0 covers everything that is labelled."""
    ink = np.asarray(labels)
    planes = [ink > 0, *(ink == index + 1 for index in range(1, len(LABELS)))]
    shares = np.stack([_share(plane, seen) for plane in planes])
    return np.where(shares >= COVERED, IS, np.where(shares > 0, UNKNOWN, NOT)).astype(np.int8)


def cell_shape(seen: Look) -> tuple[int, int]:
    return seen.pixels.shape[1] // CELL, seen.pixels.shape[2] // CELL


def _share(mask: NDArray[np.bool_], seen: Look) -> NDArray[np.float32]:
    """Share of each cell of the look that the mask, drawn on the view, covers."""
    rows, columns = cell_shape(seen)
    left, top, right, bottom = seen.window
    height, width = mask.shape
    box = (left * width, top * height, right * width, bottom * height)
    plane = Image.fromarray(mask.astype(np.float32), mode="F")
    return np.asarray(plane.resize((columns, rows), Image.Resampling.BOX, box))

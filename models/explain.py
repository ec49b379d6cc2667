"""What a person can look at: a small clean picture of an image, and where a tier looked when it judged it.

The heat map hides one square of the image after the other behind grey and asks the tier again (occlusion
sensitivity: Zeiler and Fergus, 2014). It needs no gradients, so it works for any local tier, whatever is
inside; what it costs is known beforehand. What it cannot say, and whoever shows it must:

- It shows what the tier's answer *depends on*, one square at a time. Where two signs would each be enough,
  hiding one changes little, and both look unimportant.
- It is as coarse as its grid. A thing much smaller than a cell is shown as large as the cell.
- A grey square is itself an unusual sight; weak colours are mostly the answer to that.
- It explains one tier and one view, not the cascade.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.core import Tier
from models.imaging.decode import GREY

CELLS = 8
"""Cells along each side of the grid: 1 + (CELLS - 1)^2 = 50 looks at an image."""
BATCH = 16

FAINTEST = 0.5
"""A change of log-odds, in nats, that is drawn in full colour at the least: below it, noise is all there may
be, and noise must not look like a finding."""

FOR, AGAINST = (255, 72, 0), (0, 110, 255)
STRONGEST = 0.62
"""Opacity of the strongest colour: the picture stays recognisable under it."""
QUALITY = 78


@dataclass(frozen=True, slots=True)
class Saliency:
    """`log_odds` of the whole image; `drops` (cells, cells) float64, rows from the top: by how much the
    log-odds falls, in nats, when that part is hidden. Above 0 it speaks for roadwork, below 0 against."""

    log_odds: float
    drops: NDArray[np.float64]


def saliency(tier: Tier, image: Image.Image, *, cells: int = CELLS, batch: int = BATCH) -> Saliency:
    """Ask `tier` 1 + (cells - 1)^2 times about an RGB image, `batch` at a time.

    A hidden square is two cells wide and moves by one; a cell's drop is the mean over the squares that cover
    it. Raises ValueError for less than two cells, and whatever the tier raises.
    """
    if cells < 2:
        raise ValueError(f"a grid has at least 2 cells along each side, not {cells}")
    looks = _looks(np.asarray(image), cells)
    said: list[float] = []
    while some := list(islice(looks, batch)):
        inputs = [tier.prepare(Image.fromarray(pixels)) for pixels in some]
        said += [evidence.log_odds for evidence in tier.evidence(inputs)]
    return Saliency(said[0], _spread(said[0] - np.array(said[1:]), cells))


def _looks(pixels: NDArray[np.uint8], cells: int) -> Iterator[NDArray[np.uint8]]:
    """The whole image, then each square hidden, row by row."""
    yield pixels
    down, across = (np.linspace(0, size, cells + 1).round().astype(int) for size in pixels.shape[:2])
    for row in range(cells - 1):
        for column in range(cells - 1):
            hidden = pixels.copy()
            hidden[down[row] : down[row + 2], across[column] : across[column + 2]] = GREY
            yield hidden


def _spread(drops: NDArray[np.float64], cells: int) -> NDArray[np.float64]:
    """(squares,) -> (cells, cells): each cell's mean over the one to four squares that cover it."""
    total, count = np.zeros((cells, cells)), np.zeros((cells, cells))
    for index, drop in enumerate(drops):
        row, column = divmod(index, cells - 1)
        total[row : row + 2, column : column + 2] += drop
        count[row : row + 2, column : column + 2] += 1
    return total / count


def overlay(image: Image.Image, found: Saliency) -> Image.Image:
    """The image under the heat: red where it speaks for roadwork, blue where against."""
    scale = max(FAINTEST, float(np.abs(found.drops).max()))
    small = Image.fromarray((found.drops / scale).astype(np.float32), mode="F")
    heat = np.asarray(small.resize(image.size, Image.Resampling.BICUBIC)).clip(-1, 1)[..., None]
    colour = np.where(heat > 0, np.array(FOR), np.array(AGAINST))
    mixed = np.asarray(image) * (1 - STRONGEST * np.abs(heat)) + colour * STRONGEST * np.abs(heat)
    return Image.fromarray(mixed.round().astype(np.uint8))


def thumbnail(image: Image.Image, side: int) -> Image.Image:
    """A copy of an RGB image whose longer side is at most `side` pixels; its metadata stays behind."""
    small = image.copy()
    small.thumbnail((side, side))
    return Image.fromarray(np.asarray(small))


def jpeg(image: Image.Image) -> bytes:
    """Encoded for a page: pixels and nothing else (no EXIF, no comment, no profile)."""
    clean = Image.fromarray(np.asarray(image))
    out = BytesIO()
    clean.save(out, "JPEG", quality=QUALITY, optimize=True)
    return out.getvalue()

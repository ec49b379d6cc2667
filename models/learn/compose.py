"""Works, or things that look like works, put into real streets without any.

Cut-outs are drawn by `models.scenes` in metres on a road plane, seen by a camera like the photograph's: their
size and place follow from their distance. Then they get the photograph's light (its brightness, cast and
range of tones around where they stand), its blur and its grain. Both labels are composed alike, works
becoming roadwork and look-alikes (bollards, bins, orange vans, hoardings) staying none, so that being
composed says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from models.learn.data import LABELS, Example, two_sided
from models.scenes.canvas import Canvas, Item, open_canvas
from models.scenes.furniture import bollards, hoarding, hydrant, wheelie_bin
from models.scenes.street import Street, lay_out
from models.scenes.traffic import vehicle
from models.scenes.works import put_up_works

SOURCE = "composed"
FINE = 3
"""Cut-outs are drawn this many times larger and then scaled down, for soft edges."""
FADES = (0.0, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0)
"""Radii of blur that are tried, in px of the photograph."""
KEY = 118.0
"""Mean luma of the drawn scenes' own daylight."""
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class CutOut:
    """Things on nothing: `pixels` (height, width, 3) float32 0-255, `mask` (height, width) 0-1."""

    pixels: Floats
    mask: Floats


def compose(photo: Image.Image, works: bool, rng: np.random.Generator) -> Image.Image:
    """`photo` with works in it, or with look-alikes; same size. `rng` decides what and where."""
    drawn = cut_out(photo.size, works, rng)
    street = np.asarray(photo.convert("RGB"), dtype=np.float32)
    lit = light(drawn, street)
    soft = blur(lit, street)
    mask = soft.mask[..., None]
    noise = rng.standard_normal(street.shape[:2], dtype=np.float32)[..., None] * grain(street)
    mixed = street * (1 - mask) + (soft.pixels + noise) * mask
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


def cut_out(size: tuple[int, int], works: bool, rng: np.random.Generator) -> CutOut:
    """Drawn for a photograph of `size`, from far to near."""
    width, height = (edge * FINE for edge in size)
    canvas, street = open_canvas(width, height, rng), lay_out(rng)
    items = put_up_works(street, rng) if works else look_alikes(street, rng)
    items.sort(key=lambda item: -item.depth)
    for item in items:
        item.paint(canvas)
    pixels, mask = (
        image.resize(size, Image.Resampling.BOX) for image in (canvas.image, _mask(canvas, items))
    )
    alpha = np.asarray(mask, dtype=np.float32) / 255
    colours = np.asarray(pixels, dtype=np.float32) / np.maximum(alpha, 1e-3)[..., None]
    return CutOut(np.clip(colours, 0, 255), alpha.astype(np.float32))


def look_alikes(street: Street, rng: np.random.Generator) -> list[Item]:
    """One to four things of other purpose, in orange more often than not."""
    makers: tuple[Callable[[float, float, np.random.Generator], Item], ...]
    makers = (bollards, wheelie_bin, hydrant, hoarding, vehicle)
    items = []
    for _ in range(int(rng.integers(1, 5))):
        maker = makers[int(rng.integers(len(makers)))]
        side = street.right if rng.random() < 0.65 else street.left
        away = float(rng.uniform(-1.0, 2.0))
        items.append(maker(side + away if side > 0 else side - away, float(rng.uniform(6, 30)), rng))
    return items


def light(drawn: CutOut, street: Floats) -> CutOut:
    """The photograph's brightness, cast and range of tones, measured where the cut-out stands."""
    here = drawn.mask > 0.5
    rows = np.flatnonzero(here.any(axis=1))
    around = street[rows[0] : rows[-1] + 1] if len(rows) else street
    luma = around @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    cast = around.reshape(-1, 3).mean(axis=0) / max(float(luma.mean()), 1.0)
    gain = float(np.clip(luma.mean() / KEY, 0.35, 1.5))
    black, white = np.quantile(luma, [0.02, 0.98])
    toned = np.clip(drawn.pixels * gain * (0.5 + 0.5 * cast), 0, 255)
    return CutOut(
        (black * 0.6 + toned / 255 * (max(white, black + 40) - black * 0.6)).astype(np.float32), drawn.mask
    )


def blur(drawn: CutOut, street: Floats) -> CutOut:
    """As unsharp as the photograph: the least blur at which its steps are no steeper than the
    photograph's."""
    wanted = steepness(street)
    for radius in FADES:
        softer = _blurred(drawn, radius)
        mixed = street * (1 - softer.mask[..., None]) + softer.pixels * softer.mask[..., None]
        if steepness(mixed, _rim(softer.mask)) <= wanted:
            break
    return softer


def steepness(pixels: Floats, where: NDArray[np.bool_] | None = None) -> float:
    """The strongest steps from pixel to pixel (99th percentile) over the steps across four: 1/4 for a ramp,
    1 for an ideal edge."""
    luma = pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    near, far = np.abs(luma[:, 1:] - luma[:, :-1]), np.abs(luma[:, 4:] - luma[:, :-4])
    if where is not None and where[:, 1:].any() and where[:, 2:-2].any():
        return float(np.quantile(near[where[:, 1:]], 0.9) / max(np.quantile(far[where[:, 2:-2]], 0.9), 1.0))
    return float(np.quantile(near, 0.99) / max(np.quantile(far, 0.99), 1.0))


def _rim(mask: Floats) -> NDArray[np.bool_]:
    """Within two pixels of an edge of the cut-out."""
    image = Image.fromarray((mask * 255).astype(np.uint8))
    high, low = (
        np.asarray(image.filter(each(5)), np.int16) for each in (ImageFilter.MaxFilter, ImageFilter.MinFilter)
    )
    return np.asarray(high - low > 25)


def grain(street: Floats) -> float:
    """Standard deviation of the noise in the photograph's flattest parts: the lower quartile of absolute
    Laplacians (where structure has added least), over a normal variable's (0.3186) and the Laplacian's gain
    for white noise (the root of 20)."""
    luma = street @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    middle = 4 * luma[1:-1, 1:-1] - luma[:-2, 1:-1] - luma[2:, 1:-1] - luma[1:-1, :-2] - luma[1:-1, 2:]
    return float(min(np.quantile(np.abs(middle), 0.25) / (0.3186 * np.sqrt(20)), 12.0))


def write_composed(folder: Path, streets: Sequence[Example], count: int, seed: int) -> list[Example]:
    """`count` composed pictures of `streets` without works, labels in turn, as JPEG files of the source
    "composed"; each keeps the sequence of its street. What is there already is not made again."""
    found = []
    for number in range(count if streets else 0):
        rng = np.random.default_rng([seed, number])
        street = streets[int(rng.integers(len(streets)))]
        works = number % 2 == 0
        path = folder / LABELS[works] / f"{number:05d}.jpg"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            compose(street.load(), works, rng).save(path, quality=92)
        found.append(replace(street, path=path, roadwork=works, source=SOURCE, strength=""))
    return found


def never_judged(examples: Sequence[Example]) -> list[Example]:
    """Streets of sources with one label: they stay in training throughout a cross-fit, so what is composed of
    them gives no held-out picture away."""
    judged = two_sided(examples)
    return [each for each in examples if not each.roadwork and each.source not in judged]


def _blurred(drawn: CutOut, radius: float) -> CutOut:
    """Colours bleed outwards as the mask does: both are blurred, premultiplied."""
    if radius == 0:
        return drawn
    solid = drawn.pixels * drawn.mask[..., None]
    mask = (_gaussian(drawn.mask * 255, radius) / 255).astype(np.float32)
    planes = np.stack([_gaussian(solid[..., index], radius) for index in range(3)], axis=-1)
    return CutOut(np.clip(planes / np.maximum(mask, 1e-3)[..., None], 0, 255), mask)


def _gaussian(plane: Floats, radius: float) -> Floats:
    image = Image.fromarray(np.clip(plane, 0, 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32)


@dataclass
class _Ink:
    """Stands in for a canvas's pen: the same shapes in white."""

    pen: ImageDraw.ImageDraw

    def polygon(self, points: Any, fill: Any = None) -> None:
        self.pen.polygon(points, fill=255)

    def rectangle(self, box: Any, fill: Any = None) -> None:
        self.pen.rectangle(box, fill=255)

    def ellipse(self, box: Any, fill: Any = None) -> None:
        self.pen.ellipse(box, fill=255)


def _mask(canvas: Canvas, items: Sequence[Item]) -> Image.Image:
    mask = Image.new("L", canvas.image.size)
    pen = cast(ImageDraw.ImageDraw, _Ink(ImageDraw.Draw(mask)))
    for item in items:
        item.paint(replace(canvas, image=mask, pen=pen))
    return mask

"""Training views: what validators do to an image, plus what takes away the shortcuts of a small collection.

The shortcuts, and what is done about each, for every source and both labels alike:

    shape of the frame     a random aspect, reached partly by cutting and partly by stretching, wherever the
                           whole frame is shown
    size, sharpness        random loss of resolution before anything else; JPEG after everything
    one camera per label   patches with works pasted into streets without, and patches without works into any
    tint of a camera       random exposure, contrast, saturation and white balance
    left or right          mirrored half of the time (works look the same; validators never do it)
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from models.learn.data import Example
from models.learn.regimes import REGIMES, SIDE, distort, frame, to_jpeg

ASPECTS = (0.75, 1.0, 1.25, 4 / 3, 1.5, 16 / 9, 16 / 9)
REGIME_SHARES = (0.5, 0.2, 0.3)
PASTE_WORKS, PASTE_NONE = 0.25, 0.2
"""How often a street without works is given a patch with works (it becomes roadwork), or one without."""

Draw = Callable[[bool, np.random.Generator], Example]
"""Draws a patch's example: with works, or without."""


@dataclass(frozen=True, slots=True)
class View:
    """A square RGB image of `side` px as the network sees it, and its label after pasting."""

    image: Image.Image
    roadwork: bool


def make_view(example: Example, patch: Draw | None, side: int, rng: np.random.Generator) -> View:
    """One random view of an example; without `patch` nothing is pasted."""
    image = lose_detail(mirror(example.load(), rng), rng)
    regime = REGIMES[int(rng.choice(len(REGIMES), p=REGIME_SHARES))]
    level = 0 if regime == "native" else int(rng.integers(4))
    if regime == "augmented":  # shows a square of any frame: its shape is lost, and enough is cut off
        shown = frame(regime, image, level, rng)
    elif regime == "letterbox":
        shown = frame(regime, vary_shape(image, rng), level, rng)
    else:
        shown = vary_shape(image, rng).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    roadwork = example.roadwork
    if patch is not None:
        shown, roadwork = paste(shown, roadwork, patch, rng)
    shown = distort(vary_colour(shown, rng), level, rng)
    if regime != "native" or rng.random() < 0.5:
        shown = Image.open(io.BytesIO(to_jpeg(shown)))
    return View(shown.resize((side, side), Image.Resampling.BILINEAR), roadwork)


def mirror(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else image


def lose_detail(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A third of the time, shrink to a shorter side of 140 px or more."""
    short = min(image.size)
    target = float(rng.uniform(140, 280))
    if rng.random() > 1 / 3 or target >= short:
        return image
    width, height = (round(edge * target / short) for edge in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR)


def vary_shape(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Give the frame a random aspect; some of the way by cutting, the rest by stretching."""
    wanted = ASPECTS[int(rng.integers(len(ASPECTS)))]
    ratio = wanted * image.height / image.width
    cut = ratio ** float(rng.uniform(0, 0.7))
    width, height = image.size
    across, down = (width * cut, float(height)) if cut < 1 else (float(width), height / cut)
    left, top = float(rng.uniform(0, width - across)), float(rng.uniform(0, height - down))
    short = min(width, height)
    size = (round(short * wanted), short) if wanted >= 1 else (short, round(short / wanted))
    return image.resize(size, Image.Resampling.BILINEAR, box=(left, top, left + across, top + down))


def vary_colour(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Exposure, contrast, saturation and white balance as another camera on another day would have them."""
    pixels = np.asarray(image, dtype=np.float32)
    grey = pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    pixels = grey[..., None] + (pixels - grey[..., None]) * np.float32(rng.uniform(0.7, 1.3))
    pixels = (pixels - grey.mean()) * np.float32(rng.uniform(0.75, 1.25)) + grey.mean()
    gains = rng.uniform(0.75, 1.25) * rng.uniform(0.93, 1.07, 3)
    return Image.fromarray(np.clip(pixels * gains.astype(np.float32), 0, 255).astype(np.uint8))


def paste(
    shown: Image.Image, roadwork: bool, patch: Draw, rng: np.random.Generator
) -> tuple[Image.Image, bool]:
    """Perhaps paste a patch somewhere; the label becomes roadwork with a patch that shows works."""
    chance = float(rng.random())
    if chance < PASTE_NONE:
        return _overlay(shown, patch(False, rng).load(), rng, largest=0.5), roadwork
    if not roadwork and chance < PASTE_NONE + PASTE_WORKS:
        return _overlay(shown, patch(True, rng).load(), rng), True
    return shown, roadwork


def _overlay(
    shown: Image.Image, piece: Image.Image, rng: np.random.Generator, largest: float = 0.7
) -> Image.Image:
    """`piece`, mirrored and stretched at random, on a copy of `shown`; half of the time with soft edges."""
    piece = mirror(piece, rng)
    stretch = float(rng.uniform(0.8, 1.25))
    scale = min(shown.size) * float(rng.uniform(0.3, largest)) / max(piece.width * stretch, piece.height)
    width, height = max(8, round(piece.width * stretch * scale)), max(8, round(piece.height * scale))
    piece = vary_colour(piece.resize((width, height), Image.Resampling.BILINEAR), rng)
    mask = Image.new("L", (width, height), 255)
    if rng.random() < 0.5:
        mask = _soft(width, height)
    canvas = shown.copy()
    corner = int(rng.integers(shown.width - width + 1)), int(rng.integers(shown.height - height + 1))
    canvas.paste(piece, corner, mask)
    return canvas


def _soft(width: int, height: int) -> Image.Image:
    """A mask that fades out over the outer eighth."""
    mask = Image.new("L", (width, height))
    rim = min(width, height) // 8
    ImageDraw.Draw(mask).rectangle((rim, rim, width - rim, height - rim), fill=255)
    return mask.filter(ImageFilter.GaussianBlur(rim / 2))

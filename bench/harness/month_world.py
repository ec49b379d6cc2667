"""The streets of a rehearsed month: by day, and from some day on also at night under sodium lamps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from models.learn.adaptation.items import Item
from models.learn.data import Example, read
from models.scenes import write_scenes

DAY, NIGHT = "day", "night"
LAMP = (1.0, 0.62, 0.2)
SHORT = 256


@dataclass(frozen=True)
class Streets:
    """`stream` examples to draw challenges from, `exam` to measure on: they share no sequence."""

    name: str
    stream: Sequence[Example]
    exam: Sequence[Example]


def streets(data: Path, scratch: Path, quick: bool) -> Streets:
    """Real ones where `data` is there, rendered ones otherwise."""
    if data.is_dir() and not quick:
        return Streets("real images", read(data, "train"), read(data, "val"))
    count, exam = (90, 30) if quick else (800, 200)
    write_scenes(scratch / "stream", count, seed=2000)
    write_scenes(scratch / "exam", exam, seed=2001)
    return Streets("rendered scenes", read(scratch / "stream"), read(scratch / "exam"))


def shot(example: Example, part: str, path: Path, rng: np.random.Generator) -> Item:
    """A challenge's image: another crop each time, at night if `part` says so; a JPEG file."""
    image = _crop(example.load(), rng)
    if part == NIGHT:
        image = sodium(image, rng)
    image.save(path, quality=88)
    key = sha256(path.read_bytes()).hexdigest()
    group = f"{example.source}/{example.sequence}"
    return Item(key, path, example.roadwork, "review", "", part, group)


def sodium(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A street at night under low-pressure sodium lamps: darker, and nearly one colour."""
    pixels = np.asarray(image, dtype=np.float32)
    grey = pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    mixed = 0.75 * grey[..., None] + 0.25 * pixels
    lit = mixed * np.array(LAMP, dtype=np.float32) * np.float32(rng.uniform(0.4, 0.7))
    return Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))


def _crop(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    scale = SHORT / min(image.size)
    if scale < 1:
        image = image.resize((round(image.width * scale), round(image.height * scale)))
    keep = rng.uniform(0.88, 1.0, 2)
    width, height = round(image.width * keep[0]), round(image.height * keep[1])
    left, top = int(rng.integers(image.width - width + 1)), int(rng.integers(image.height - height + 1))
    return image.crop((left, top, left + width, top + height))

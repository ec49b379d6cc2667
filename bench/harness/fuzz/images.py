"""Pictures: whole ones, and ones broken in their bytes and in their parts, through the decoder and a verdict.

Base pictures are made here in every variant that the decoder knows, and taken from the folder with real and
odd ones where there is one. Parts are broken with their checksums mended, so that what is behind them is
reached.
"""

from __future__ import annotations

import math
import struct
import zlib
from functools import cached_property, lru_cache
from io import BytesIO
from pathlib import Path
from random import Random

from PIL import Image

from harness.fuzz.mutate import mutate
from harness.fuzz.target import Finding
from models.calibration import clamp, probability
from models.classifier import Classifier, load_classifier
from models.imaging.decode import ImageError, Limits, decode
from models.imaging.header import PNG_SIGNATURE, segments
from models.weights import DEFAULT

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
LIMITS = Limits(bytes=4 * 2**20, pixels=2_000_000)
SIDE = 64
REAL = 150
"""Real pictures taken along."""
SHARE_REAL = 0.15
PREPARED, JUDGED = 20, 500
"""One case in so many is made ready for the embedded model; one in so many is judged by it."""


class Images:
    """Outcomes: "image", "partial" for a truncated one, or the reason of the refusal."""

    def __init__(self) -> None:
        self._made, self._real = made(), real()
        self._count = 0

    def case(self, rng: Random, number: int) -> bytes:
        pool = self._real if self._real and rng.random() < SHARE_REAL else self._made
        data, other = rng.choice(pool), rng.choice(self._made)
        way = rng.random()
        if way < 0.05:
            return data
        if way < 0.45:
            return broken_part(data, rng)
        return mutate(data, rng, other)

    def judge(self, case: bytes) -> str:
        self._count += 1
        try:
            found = decode(case, LIMITS, side=SIDE)
        except ImageError as error:
            return error.reason
        _hold(found.image, found.size)
        if self._count % PREPARED == 0:
            self._answer(found.image)
        return "partial" if found.notes else "image"

    @cached_property
    def _model(self) -> Classifier:
        return load_classifier(DEFAULT)

    def _answer(self, image: Image.Image) -> None:
        prepared = self._model.prepare(image)
        if self._count % JUDGED:
            return
        (evidence,) = self._model.evidence([prepared])
        prediction = probability(clamp(evidence.log_odds))
        if not (math.isfinite(prediction) and 0.0 <= prediction <= 1.0):
            raise Finding(f"an answer of {prediction}")


def _hold(image: Image.Image, size: tuple[int, int]) -> None:
    if image.mode != "RGB":
        raise Finding(f"a picture of mode {image.mode}")
    if size[0] * size[1] > LIMITS.pixels or image.width * image.height > LIMITS.pixels:
        raise Finding(f"a picture of {size} is over the limit")
    if min(image.size) < 1:
        raise Finding(f"a picture of {image.size}")


def broken_part(data: bytes, rng: Random) -> bytes:
    """One part (PNG chunk, JPEG segment, RIFF chunk) broken, dropped or doubled; lengths, checksums fit."""
    if data.startswith(PNG_SIGNATURE):
        return PNG_SIGNATURE + b"".join(_chunk(*part) for part in _broken(_chunks(data), rng))
    if data.startswith(b"\xff\xd8"):
        parts = [(bytes([each.marker]), data[each.start : each.end]) for each in segments(data)]
        return b"\xff\xd8" + b"".join(body for _, body in _broken(parts, rng))
    if data.startswith(b"RIFF"):
        body = b"".join(_riff(*part) for part in _broken(_riff_chunks(data), rng))
        return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
    return mutate(data, rng)


Parts = list[tuple[bytes, bytes]]


def _broken(parts: Parts, rng: Random) -> Parts:
    if not parts:
        return parts
    at = rng.randrange(len(parts))
    kind, body = parts[at]
    way = rng.random()
    if way < 0.1:
        return parts[:at] + parts[at + 1 :]
    if way < 0.2:
        return [*parts[: at + 1], *parts[at:]]
    if way < 0.3:
        other = rng.randrange(len(parts))
        return [*parts[:other], parts[at], *parts[other:]]
    return [*parts[:at], (kind, mutate(body, rng)), *parts[at + 1 :]]


def _chunks(data: bytes) -> Parts:
    parts, at = [], len(PNG_SIGNATURE)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        parts.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return parts


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _riff_chunks(data: bytes) -> Parts:
    parts, at = [], 12
    while at + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, at + 4)
        parts.append((data[at : at + 4], data[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return parts


def _riff(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


@lru_cache(1)
def made() -> tuple[bytes, ...]:
    """Small pictures in every variant that is judged."""
    scene = Image.effect_noise((72, 48), 60).convert("RGB")
    modes = {
        "JPEG": ("RGB", "L", "CMYK"),
        "PNG": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"),
        "WEBP": ("RGB", "RGBA"),
    }
    options: dict[str, list[dict[str, object]]] = {
        "JPEG": [
            {"quality": 60},
            {"progressive": True},
            {"quality": 90, "subsampling": 0, "exif": _turned(6)},
        ],
        "PNG": [{}, {"compress_level": 0}],
        "WEBP": [{"quality": 40}, {"lossless": True}, {"quality": 70, "exif": _turned(3)}],
    }
    return tuple(
        _saved(scene, mode, form, more)
        for form, kinds in modes.items()
        for mode in kinds
        for more in options[form]
    )


def _turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def _saved(scene: Image.Image, mode: str, form: str, more: dict[str, object]) -> bytes:
    file = BytesIO()
    scene.convert("I").convert("I;16").save(file, form) if mode == "I;16" else scene.convert(mode).save(
        file, form, **more
    )
    return file.getvalue()


@lru_cache(1)
def real() -> tuple[bytes, ...]:
    """Real and odd pictures, always the same ones; none where the folder is not there."""
    odd = sorted((DATA / "odd").glob("*.*")) if DATA.is_dir() else []
    street = sorted((DATA / "train").rglob("*.jpg")) if DATA.is_dir() else []
    chosen = Random(7).sample(street, min(REAL, len(street)))
    return tuple(path.read_bytes() for path in (*odd, *chosen) if path.stat().st_size < 200_000)

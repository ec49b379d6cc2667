"""The three ways the subnet has shown images to miners, as pure functions of (image, random generator).

    augmented   224 px, one of four levels of distortion, a quarter each                    (to April 2026)
    letterbox   224 px, the whole frame between black bars; levels and rotation as above    (April 2026)
    native      the frame at its own size, untouched                                        (from May 2026)

Each ends as a validator's request does: JPEG, quality 75, chroma 4:2:0. Images are never mirrored, because
the validators' own flips cannot trigger. PIL and numpy only: the rehearsal's validator has no torch.

Level 0 is a centre square. Level 1 rotates by up to 20 degrees either way (nearest neighbour, black corners),
then cuts a random square. Levels 2 and 3 go on with the tables below, every strength drawn by itself and
evenly, "none" included. The validators' saturation step casts to bytes without clipping, but moving colours
towards grey at constant luma cannot leave the byte range, and their noise step clips: nothing wraps around.
"""

from __future__ import annotations

import io
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Regime = Literal["augmented", "letterbox", "native"]
REGIMES: tuple[Regime, ...] = get_args(Regime)

SIDE = 224
MAX_ANGLE = 20.0
CROP_AREA = (0.2, 1.0)
NATIVE_LEVEL = -1
"""The level reported for an image that went out untouched."""

SATURATION = (None, 0.4, 0.3)
CONTRAST = (None, 0.85, 0.725)
DOWNSAMPLE = (None, 2, 3)
NOISE_VARIANCE = (None, 0.001, 0.002)
BLUR = (None, 7, 9)

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


def draw(regime: Regime, image: Image.Image, rng: np.random.Generator) -> tuple[bytes, int]:
    """One challenge made of `image`: (JPEG bytes, level 0-3, or -1 in the native regime).

    The same image and an equally seeded generator give the same bytes. ValueError for an unknown regime.
    """
    shown, level = show(regime, image, rng)
    return to_jpeg(shown), level


def show(regime: Regime, image: Image.Image, rng: np.random.Generator) -> tuple[Image.Image, int]:
    """As `draw`, before the JPEG encoding."""
    image = image.convert("RGB")
    if regime == "native":
        return image, NATIVE_LEVEL
    if regime not in REGIMES:
        raise ValueError(f"unknown regime {regime!r}; known: {', '.join(REGIMES)}")
    level = int(rng.integers(4))
    return distort(frame(regime, image, level, rng), level, rng), level


def frame(regime: Regime, image: Image.Image, level: int, rng: np.random.Generator) -> Image.Image:
    """The geometry alone: the part of `image` that is shown, and how it lies; 224 px. Not for native."""
    if level:
        image = rotate(image, rng)
    if regime == "letterbox":
        return letterbox(image)
    return random_square(image, rng) if level else centre_square(image)


def to_jpeg(image: Image.Image) -> bytes:
    """Encode as the validators do: quality 75, chroma halved both ways."""
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=75, subsampling="4:2:0")
    return buffer.getvalue()


def rotate(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Turn about the centre by up to `MAX_ANGLE` degrees, nearest neighbour, black corners, same size."""
    return image.rotate(float(rng.uniform(-MAX_ANGLE, MAX_ANGLE)), Image.Resampling.NEAREST)


def centre_square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return _cut(image, left, top, side)


def random_square(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A square of 20 to 100 % of the frame's area, anywhere inside; the centre after ten that did not fit."""
    return _cut(image, *crop_box(image.width, image.height, rng))


def crop_box(width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int]:
    """(left, top, side) in pixels of `random_square`'s cut."""
    for _ in range(10):
        side = round(float(np.sqrt(width * height * rng.uniform(*CROP_AREA))))
        if 0 < side <= min(width, height):
            return int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1)), side
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, side


def letterbox(image: Image.Image, side: int = SIDE) -> Image.Image:
    """The whole frame scaled to fit a `side` px square, centred between black bars."""
    scale = side / max(image.size)
    width, height = (max(1, round(edge * scale)) for edge in image.size)
    canvas = Image.new("RGB", (side, side))
    small = image.resize((width, height), Image.Resampling.BILINEAR)
    canvas.paste(small, ((side - width) // 2, (side - height) // 2))
    return canvas


def distort(image: Image.Image, level: int, rng: np.random.Generator) -> Image.Image:
    """Apply the tables of level 2 (colour, contrast, resolution) or 3 (the same, stronger; noise; blur)."""
    if level < 2:
        return image
    strengths = rng.integers(0, level, size=5)
    pixels = saturate(np.asarray(image), SATURATION[strengths[0]])
    pixels = darken(pixels, CONTRAST[strengths[1]])
    pixels = coarsen(pixels, DOWNSAMPLE[strengths[2]])
    if level == 3:
        pixels = add_noise(pixels, NOISE_VARIANCE[strengths[3]], rng)
        pixels = blur(pixels, BLUR[strengths[4]])
    return Image.fromarray(pixels)


def saturate(pixels: Bytes, factor: float | None) -> Bytes:
    """Scale the distance of every colour from its grey (BT.601 luma) by `factor` in [0, 1]."""
    if factor is None:
        return pixels
    luma = pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    grey = luma[..., None]
    return (grey + (pixels - grey) * np.float32(factor)).astype(np.uint8)


def darken(pixels: Bytes, factor: float | None) -> Bytes:
    """Multiply by `factor` in [0, 1] (the validators call it contrast)."""
    return pixels if factor is None else (pixels * np.float32(factor)).astype(np.uint8)


def coarsen(pixels: Bytes, divisor: int | None) -> Bytes:
    """Shrink by `divisor` and enlarge again, bilinear without smoothing (the validators call it JPEG)."""
    if divisor is None:
        return pixels
    height, width = pixels.shape[:2]
    small = _bilinear(Image.fromarray(pixels), (width // divisor, height // divisor))
    return np.asarray(_bilinear(small, (width, height)))


def add_noise(pixels: Bytes, variance: float | None, rng: np.random.Generator) -> Bytes:
    """Gaussian noise on luma and both chroma channels in video range, clipped; `variance` for white = 1."""
    if variance is None:
        return pixels
    noise = rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(255 * np.sqrt(variance))
    luma = noise[..., 0] * np.float32(255 / 219)
    red, blue = noise[..., 1] * np.float32(255 / 224), noise[..., 2] * np.float32(255 / 224)
    shift = np.stack([luma + 1.403 * red, luma - 0.714 * red - 0.344 * blue, luma + 1.773 * blue], axis=-1)
    noisy: Bytes = np.clip(pixels + shift, 0, 255).astype(np.uint8)
    return noisy


def blur(pixels: Bytes, width: int | None) -> Bytes:
    """Gaussian blur with a kernel of `width` px (odd) and a sigma of a sixth of that; edges mirrored."""
    if width is None:
        return pixels
    reach = width // 2
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (width / 6)) ** 2).astype(np.float32)
    weights /= weights.sum()
    blurred = pixels.astype(np.float32)
    for axis in (0, 1):
        blurred = _convolve(blurred, weights, axis)
    return np.rint(blurred).astype(np.uint8)


def _convolve(pixels: Floats, weights: Floats, axis: int) -> Floats:
    reach = len(weights) // 2
    padding = [(reach, reach) if dimension == axis else (0, 0) for dimension in range(3)]
    padded = np.pad(pixels, padding, mode="reflect")
    length = pixels.shape[axis]
    out = np.zeros_like(pixels)
    for offset, weight in enumerate(weights):
        out += weight * np.take(padded, range(offset, offset + length), axis=axis)
    return out


def _cut(image: Image.Image, left: int, top: int, side: int) -> Image.Image:
    box = (left, top, left + side, top + side)
    return image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box)


def _bilinear(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resize by sampling four neighbours; PIL's own `resize` would average over the whole footprint."""
    across, down = image.width / size[0], image.height / size[1]
    coefficients = (across, 0.0, 0.0, 0.0, down, 0.0)
    return image.transform(size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)

"""From a clean drawing to something a camera might have taken: haze, exposure, cast, bonnet, blur, grain."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def develop(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The photograph of a drawing; same size."""
    if rng.random() < 0.35:
        _bonnet(image, rng)
    image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 0.9)) * image.width / 800))
    pixels = np.asarray(image, dtype=np.float32) / 255
    pixels = pixels ** np.float32(rng.uniform(0.75, 1.5)) * rng.uniform(0.95, 1.05, 3).astype(np.float32)
    haze = np.float32(rng.uniform(0, 0.25) if rng.random() < 0.4 else 0)
    pixels = pixels * (1 - haze) + np.float32(0.75) * haze
    pixels *= _vignette(image.size, float(rng.uniform(0, 0.3)))[..., None]
    grain = rng.standard_normal(pixels.shape[:2], dtype=np.float32)[..., None]
    pixels += grain * np.float32(rng.uniform(0.005, 0.03))
    return Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8))


def _bonnet(image: Image.Image, rng: np.random.Generator) -> None:
    """The hood of the camera's own car along the lower edge."""
    width, height = image.size
    tone = int(rng.integers(20, 120))
    top = height * rng.uniform(0.86, 0.95)
    box = (-0.15 * width, top, 1.15 * width, height * 1.3)
    ImageDraw.Draw(image).ellipse(box, fill=(tone, tone, min(255, tone + 6)))


def _vignette(size: tuple[int, int], strength: float) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    across = np.linspace(-1, 1, size[0], dtype=np.float32)
    down = np.linspace(-1, 1, size[1], dtype=np.float32)[:, None]
    return np.asarray(1 - np.float32(strength) * (across**2 + down**2) / 2)

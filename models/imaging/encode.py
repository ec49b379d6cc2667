"""A picture made smaller for whoever is paid by the pixel."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

QUALITY = 90


def smaller(image: Image.Image, share: float) -> bytes:
    """An RGB image as a JPEG whose sides are `share` in (0, 1] of its own, at least a pixel; without
    metadata."""
    size = max(1, round(image.width * share)), max(1, round(image.height * share))
    out = BytesIO()
    image.resize(size, Image.Resampling.BICUBIC).save(out, "JPEG", quality=QUALITY)
    return out.getvalue()

"""Encoded bytes to an upright RGB image, with limits. The bytes are hostile: an image or an ImageError.

Thread-safe: every call has its own decoder objects, no process-wide switch of the image library is touched
(its "load truncated images" is one), and the C decoders release the GIL.

Colour: 16 bits are scaled to 8, CMYK and YCCK are converted without their profile, embedded profiles are
ignored (the models were trained so). Animations give their first frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from models.imaging.container import Container, pare
from models.imaging.header import Header, ImageError, Limits, inspect

__all__ = ["Decoded", "Header", "ImageError", "Limits", "decode", "inspect"]

GREY = (128, 128, 128)
"""What shows through transparency and where rows are missing. Mid-grey is about zero after any model's
normalisation, so it says nothing; black or white would be an edge or a bright sky."""

MIN_ROWS = 0.5
"""Least fraction of a truncated JPEG's rows that makes it worth judging."""

_ARITHMETIC = {0xC9, 0xCA}
_BLANK = (127, 128)
"""Sample values of a block that the file did not give: all coefficients zero, 127 where CMYK is inverted."""

_SHOWN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> the turn that sets the stored image upright."""

_TO_8_BITS = np.round(np.arange(65536) / 257).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Decoded:
    """`image` RGB, upright; `size` (width, height) of the whole upright picture before any scaling;
    `notes` e.g. "truncated:0.73", the fraction of rows that were there."""

    image: Image.Image
    size: tuple[int, int]
    notes: tuple[str, ...] = ()


def decode(data: bytes, limits: Limits, side: int | None = None) -> Decoded:
    """Decode a JPEG, PNG or WebP. Raises ImageError and nothing else.

    `side` lets a large picture be scaled down while or after decoding; its shorter side stays >= `side`
    pixels, so that resizing it to that is still a reduction. A truncated JPEG is decoded when at least half
    of its rows are there (the missing ones are grey); a PNG or WebP whose pixel data is cut is refused.
    """
    header = inspect(data, limits)
    container = pare(data, header.format)
    try:
        image, notes = _pixels(container, header, side)
        image = _reduced(_rgb(image), side)
        if container.orientation in _SHOWN:
            image = image.transpose(_SHOWN[container.orientation])
    except ImageError:
        raise
    except Exception as error:
        raise ImageError("corrupt" if container.complete else "truncated") from error
    size = (header.width, header.height)
    return Decoded(image, size if container.orientation < 5 else size[::-1], notes)


def _pixels(container: Container, header: Header, side: int | None) -> tuple[Image.Image, tuple[str, ...]]:
    if header.format == "JPEG":
        return _jpeg(container, header, side)
    opener = PngImageFile if header.format == "PNG" else WebPImageFile
    image = opener(BytesIO(container.data))
    _check(image, header)
    image.load()
    return image, ()


def _check(image: Image.Image, header: Header) -> None:
    """The library must see the size that was held against the limits."""
    if image.size != (header.width, header.height):
        raise ImageError("header")


# JPEG


def _jpeg(container: Container, header: Header, side: int | None) -> tuple[Image.Image, tuple[str, ...]]:
    notes: tuple[str, ...] = ()
    data = container.data
    if not container.complete:
        data += b"\xff\xd9"  # with an end the decoder gives what it has, instead of waiting for more
        notes = (f"truncated:{_rows(container, data, header):.2f}",)
    image = _open_jpeg(data, header)
    if side:
        image.draft(None, (side, side))
    image.load()
    return image, notes


def _open_jpeg(data: bytes, header: Header) -> JpegImageFile:
    image = JpegImageFile(BytesIO(data))
    _check(image, header)
    image.decodermaxblock = len(data)  # in one piece: the arithmetic decoder cannot wait for a second one
    return image


def _rows(container: Container, data: bytes, header: Header) -> float:
    """The fraction of rows a truncated JPEG gives. Raises ImageError("truncated") below MIN_ROWS.

    Where a Huffman-coded file ends, the remaining blocks keep all coefficients zero, exactly mid-grey: so the
    rows are counted from below, on the brightness at an eighth of the size (a sample per block, cheap). This
    holds for progressive files too, whose first scan covers the whole picture coarsely: cut in a later scan,
    every row is there, with less detail. It errs only towards refusing: a picture with a mid-grey bottom. The
    arithmetic decoder invents blocks instead, so a truncated file of that kind is refused.
    """
    if container.frame in _ARITHMETIC:
        raise ImageError("truncated")
    image = _open_jpeg(data, header)
    image.draft("L", (max(1, header.width // 8), max(1, header.height // 8)))
    image.load()
    samples = np.asarray(image).reshape(image.height, -1)
    there = np.flatnonzero(~np.isin(samples, _BLANK).all(axis=1))
    fraction = (int(there[-1]) + 1) / image.height if len(there) else 0.0
    if fraction < MIN_ROWS:
        raise ImageError("truncated")
    return fraction


# Colour and size


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray(_TO_8_BITS[np.asarray(image)]).convert("RGB")
    if "A" in image.mode or "transparency" in image.info:
        return _over_grey(image.convert("RGBA"))
    return image.convert("RGB")


def _over_grey(image: Image.Image) -> Image.Image:
    canvas = Image.new("RGB", image.size, GREY)
    canvas.paste(image, mask=image.getchannel("A"))
    return canvas


def _reduced(image: Image.Image, side: int | None) -> Image.Image:
    factor = min(image.size) // side if side else 1
    return image.reduce(factor) if factor > 1 else image

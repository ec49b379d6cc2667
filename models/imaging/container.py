"""What a decoder needs of an encoded image, and nothing else: the rest of the file never reaches it.

Thumbnails, colour profiles, maker notes, text chunks and further frames are where image libraries spend time
and memory on a stranger's word. Only the orientation is read from them, here, in bounded work.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from models.imaging.header import EOI, FRAMES, MAX_SCANS, MAX_SEGMENTS, SOS, Format, ImageError, segments

_PROFILE_BYTES = 2**16
"""Most bytes of an EXIF block that are looked at: the length field of its JPEG segment allows no more."""


@dataclass(frozen=True, slots=True)
class Container:
    """`data` the pared-down file; `orientation` EXIF's, 1 to 8; `complete` whether its end is there;
    `frame` the JPEG frame's marker byte (0 for other formats)."""

    data: bytes
    orientation: int = 1
    complete: bool = True
    frame: int = 0


def pare(data: bytes, form: Format) -> Container:
    """Pare a file down to what its pixels need. Raises ImageError."""
    return {"JPEG": _jpeg, "PNG": _png, "WEBP": _webp}[form](data)


# JPEG

_KEPT_APPS = {0xE0, 0xEE}
"""JFIF and Adobe: they say how the colours are to be read."""
_COMMENT = 0xFE


def _jpeg(data: bytes) -> Container:
    kept, turn, scans, frame, last = [data[:2]], 0, 0, 0, 0
    for segment in segments(data):
        last = segment.marker
        if last in FRAMES:
            frame = frame or last
        if last == 0xE1 and not turn and data[segment.body : segment.body + 6] == b"Exif\0\0":
            turn = orientation(data[segment.body + 6 : segment.end])
        scans += last == SOS
        if _needed(last):
            kept.append(data[segment.start : segment.end])
    if scans > MAX_SCANS:
        raise ImageError("scans")
    if not scans:
        raise ImageError("truncated")
    return Container(b"".join(kept), turn or 1, last == EOI, frame)


def _needed(marker: int) -> bool:
    return marker in _KEPT_APPS or not (0xE0 <= marker <= 0xEF or marker == _COMMENT)


# PNG

_KEPT_CHUNKS = {b"IHDR", b"PLTE", b"tRNS"}


def _png(data: bytes) -> Container:
    """One IDAT chunk holds all the pixel data there is: neither a cut nor junk after it can matter then."""
    kept, pixels, turn, kind = [data[:8]], [], 0, b""
    for kind, start, end in _chunks(data):
        if kind in _KEPT_CHUNKS:
            kept.append(data[start:end])
        elif kind == b"IDAT":
            pixels.append(data[start + 8 : end - 4])
        elif not turn:
            turn = _png_orientation(kind, data[start + 8 : end - 4])
    pared = b"".join([*kept, _chunk(b"IDAT", b"".join(pixels)), _chunk(b"IEND", b"")])
    return Container(pared, turn or 1, kind == b"IEND")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(type, start, end) of each chunk up to IEND or the end of the data."""
    start = 8
    for _ in range(MAX_SEGMENTS):
        kind = data[start + 4 : start + 8]
        if len(kind) < 4:
            return
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        yield kind, start, end
        if kind == b"IEND":
            return
        start = end
    raise ImageError("header")


def _png_orientation(kind: bytes, body: bytes) -> int:
    """From an eXIf chunk, or from the hexadecimal text in which ImageMagick keeps EXIF; 0 if in neither."""
    if kind == b"eXIf":
        return orientation(body)
    name, _, text = body[: 4 * _PROFILE_BYTES].partition(b"\0")
    if kind not in (b"tEXt", b"zTXt") or name not in (b"Raw profile type exif", b"Raw profile type APP1"):
        return 0
    if kind == b"zTXt":
        text = _inflate(text[1:])
    lines = text.split(b"\n", 3)
    return orientation(_unhex(lines[-1].replace(b"\n", b"")).removeprefix(b"Exif\0\0"))


def _inflate(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, 4 * _PROFILE_BYTES)
    except zlib.error:
        return b""


def _unhex(text: bytes) -> bytes:
    try:
        return bytes.fromhex(text.decode("ascii", "replace"))
    except ValueError:
        return b""


# WebP


def _webp(data: bytes) -> Container:
    """The file as it is (its decoder is one C library that looks only at the first frame), and its EXIF."""
    position = 12
    for _ in range(MAX_SEGMENTS):
        kind = data[position : position + 4]
        if len(kind) < 4:
            return Container(data)
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        if kind == b"EXIF":
            body = data[position + 8 : position + 8 + length]
            return Container(data, orientation(body.removeprefix(b"Exif\0\0")))
        position += 8 + length + length % 2
    raise ImageError("header")


# EXIF (a TIFF file in small; CIPA DC-008, 4.6)

_ORIENTATION, _SHORT, _LONG = 0x0112, 3, 4
_MAX_TAGS = 512


def orientation(tiff: bytes) -> int:
    """The orientation tag of the first directory, 1 to 8; 1 for anything missing, cut or absurd."""
    if tiff[:2] not in (b"II", b"MM"):
        return 1

    def number(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], "little" if tiff[:1] == b"I" else "big")

    start = number(4, 4)
    for index in range(min(number(start, 2), _MAX_TAGS)):
        entry = start + 2 + 12 * index
        if number(entry, 2) == _ORIENTATION:
            size = {_SHORT: 2, _LONG: 4}.get(number(entry + 2, 2), 0)
            value = number(entry + 8, size)
            return value if 1 <= value <= 8 else 1
    return 1

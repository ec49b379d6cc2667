"""What an encoded image claims to be, read from its first bytes without decoding anything.

Pure Python on purpose: the front asks this about strangers' bytes, in microseconds and without an image
library. Whatever the bytes are, the result is a `Header` or an `ImageError`; the work is one pass over the
bytes and at most `MAX_SEGMENTS` steps.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

Format = Literal["JPEG", "PNG", "WEBP"]
Reason = Literal["format", "header", "bytes", "pixels", "scans", "truncated", "unsupported", "corrupt"]

MAX_SEGMENTS = 4096
"""Most JPEG segments or PNG chunks. Real files have a few hundred at most; a million would cost seconds."""

MAX_SCANS = 64
"""Most scans of a JPEG. Encoders write about ten; a scan of fifty bytes can cost a pass over 25 Mpx."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class ImageError(ValueError):
    """The bytes are not an image we judge. `reason` is one of a small fixed set, fit for a metric's label:

    "format" (not JPEG, PNG or WebP), "header" (its claims make no sense), "bytes" or "pixels" (over the
    limit), "scans" (work out of proportion), "truncated" (too little of it), "unsupported" (a rare variant),
    "corrupt" (the decoder gave up).
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


@dataclass(frozen=True, slots=True)
class Limits:
    """Most `bytes` of an encoded image, most `pixels` (width x height) its header may declare."""

    bytes: int
    pixels: int


class Header(NamedTuple):
    """What the file claims: size in pixels as stored, before any EXIF orientation."""

    format: Format
    width: int
    height: int


class Segment(NamedTuple):
    """One JPEG marker segment: `data[start:end]` with marker and length, payload from `body` on."""

    marker: int
    start: int
    body: int
    end: int


def inspect(data: bytes, limits: Limits) -> Header:
    """Sniff the format, read the declared size and hold both against the limits. Raises ImageError."""
    if len(data) > limits.bytes:
        raise ImageError("bytes")
    header = _read(data)
    _, width, height = header
    if width < 1 or height < 1:
        raise ImageError("header")
    if width * height > limits.pixels:
        raise ImageError("pixels")
    return header


def _read(data: bytes) -> Header:
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data.startswith(PNG_SIGNATURE):
        return _png(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp(data)
    raise ImageError("format")


# JPEG (ITU-T T.81, annex B)

EOI, SOS = 0xD9, 0xDA
FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_DECODABLE = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
"""Baseline, extended, progressive, and the arithmetic-coded two. Lossless and differential are not photos."""
_STANDALONE = frozenset({0x01, *range(0xD0, 0xDA)})
_UNUSUAL = _STANDALONE | {0x00, 0xFF, SOS}
_WHOLE_FRAMES = frozenset(0xFF00 | marker for marker in FRAMES)
_WHOLE_PLAIN = frozenset(0xFF00 | marker for marker in {*range(0x100)} - FRAMES - _UNUSUAL)
"""Both bytes of the markers of frames, and of segments that are only passed over."""
_SEGMENT = struct.Struct(">HH")
_FRAME = struct.Struct(">BHHB")
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""Two bytes each, never `\\xff+`: a megabyte of fill bytes would make that quadratic."""


def segments(data: bytes, position: int = 2) -> Iterator[Segment]:
    """The segments of a JPEG from `position` (after SOI) up to and including EOI; a scan's spans its
    entropy-coded data too.

    Junk between segments is passed over, as every decoder does. The iteration ends before a segment whose
    length reaches past the data, or when there is no EOI. Raises ImageError("header") past MAX_SEGMENTS.
    """
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(data, position)
        if found is None:
            return
        segment = _segment(data, found.start())
        if segment.end > len(data):
            return
        yield segment
        if segment.marker == EOI:
            return
        position = segment.end
    raise ImageError("header")


def _segment(data: bytes, start: int) -> Segment:
    """The segment whose marker stands at `start`."""
    marker = data[start + 1]
    if marker in _STANDALONE:
        return Segment(marker, start, start + 2, start + 2)
    end = start + 2 + max(int.from_bytes(data[start + 2 : start + 4], "big"), 2)
    if marker == SOS and end <= len(data):
        after = _SCAN_END.search(data, end)
        end = after.start() if after else len(data)
    return Segment(marker, start, start + 4, end)


def _jpeg(data: bytes) -> Header:
    marker, body, end = _first_frame(data)
    return _frame(marker, data[body:end])


def _first_frame(data: bytes) -> tuple[int, int, int]:
    """Marker, start of the payload and end of the first frame. Usually segments stand one behind the other:
    that is walked without making an object of each; from anything else on, `segments` finds the way."""
    start, last = 2, len(data) - 4
    for _ in range(MAX_SEGMENTS):
        if start > last:
            break
        marker, length = _SEGMENT.unpack_from(data, start)
        if marker in _WHOLE_PLAIN:  # one shorter than its own length leads to what is no marker
            start += 2 + length
        elif marker in _WHOLE_FRAMES and start + 2 + length <= len(data):
            return marker & 0xFF, start + 4, start + 2 + length
        else:
            break
    else:
        raise ImageError("header")
    for segment in segments(data, start):
        if segment.marker in FRAMES:
            return segment.marker, segment.body, segment.end
        if segment.marker in (SOS, EOI):
            raise ImageError("header")
    raise ImageError("truncated")


def _frame(marker: int, body: bytes) -> Header:
    if len(body) < 9:
        raise ImageError("header")
    depth, height, width, components = _FRAME.unpack_from(body)
    if len(body) != 6 + 3 * components:
        raise ImageError("header")
    if marker not in _DECODABLE or depth != 8 or components not in (1, 3, 4):
        raise ImageError("unsupported")
    return Header("JPEG", width, height)


# PNG (ISO/IEC 15948, 11.2.2)

_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Colour type -> bit depths the standard allows."""


def _png(data: bytes) -> Header:
    if len(data) < 33:
        raise ImageError("truncated")
    if data[8:16] != b"\x00\x00\x00\x0dIHDR":
        raise ImageError("header")
    depth, colour, compression, filtering, interlace = data[24:29]
    if depth not in _DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        raise ImageError("header")
    return Header("PNG", int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"))


# WebP (RFC 9649)


def _webp(data: bytes) -> Header:
    if len(data) < 30:
        raise ImageError("truncated")
    if int.from_bytes(data[4:8], "little") + 8 > len(data):
        raise ImageError("truncated")
    kind, body = data[12:16], data[20:30]
    if kind == b"VP8X":
        return Header("WEBP", _u24(body[4:7]) + 1, _u24(body[7:10]) + 1)
    if kind == b"VP8L" and body[0] == 0x2F and body[4] >> 5 == 0:
        bits = int.from_bytes(body[1:5], "little")
        return Header("WEBP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 " and not body[0] & 1 and body[3:6] == b"\x9d\x01\x2a":
        width, height = (int.from_bytes(body[i : i + 2], "little") & 0x3FFF for i in (6, 8))
        return Header("WEBP", width, height)
    raise ImageError("header")


def _u24(three: bytes) -> int:
    return int.from_bytes(three, "little")

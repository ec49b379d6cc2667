"""A picture that we know: what a model judges to warm up, and again when it is suspected of being broken."""

from __future__ import annotations

import struct
import zlib


def png(side: int = 224) -> bytes:
    """A square RGB gradient, encoded as PNG without an image library."""
    rows = b"".join(
        b"\0" + bytes(value for x in range(side) for value in (x * 255 // side, y * 255 // side, 128))
        for y in range(side)
    )
    header = struct.pack("!2I5B", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(rows))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack("!I", len(content)) + kind + content + struct.pack("!I", zlib.crc32(kind + content))

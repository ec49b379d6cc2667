"""A picture in a terminal: two pixels a character, as half blocks in 24-bit colour."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

RESET = "\x1b[0m"


def half_blocks(jpeg: bytes, columns: int, rows: int) -> str:
    """Lines of at most `columns` characters, at most `rows` of them. `jpeg` is a picture that we encoded.
    Raises OSError when it is none."""
    image = Image.open(BytesIO(jpeg), formats=["JPEG"]).convert("RGB")
    image.thumbnail((columns, 2 * rows), Image.Resampling.LANCZOS)
    lines = []
    for y in range(0, image.height - 1, 2):
        cells = (_cell(image.getpixel((x, y)), image.getpixel((x, y + 1))) for x in range(image.width))
        lines.append("".join(cells) + RESET)
    return "\n".join(lines)


def _cell(upper: object, lower: object) -> str:
    assert isinstance(upper, tuple) and isinstance(lower, tuple)
    return "\x1b[38;2;{};{};{};48;2;{};{};{}m▀".format(*upper, *lower)

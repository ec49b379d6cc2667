"""A picture in a terminal keeps its colours where they were, and its shape."""

import re
from io import BytesIO

import pytest
from PIL import Image

from models.imaging.ansi import half_blocks

CELL = re.compile("\x1b\\[38;2;(\\d+);(\\d+);(\\d+);48;2;(\\d+);(\\d+);(\\d+)m▀")


def jpeg(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def test_each_character_shows_the_pixel_above_and_the_one_below():
    image = Image.new("RGB", (32, 32), "red")
    image.paste("blue", (0, 16, 32, 32))
    (line,) = half_blocks(jpeg(image), columns=2, rows=1).splitlines()
    cells = [tuple(map(int, cell)) for cell in CELL.findall(line)]
    assert len(cells) == 2 and line.endswith("\x1b[0m")
    for upper, lower in ((cell[:3], cell[3:]) for cell in cells):
        assert upper[0] > 200 > 60 > upper[2] and lower[2] > 200 > 60 > lower[0]


@pytest.mark.parametrize(("size", "columns", "rows"), [((160, 90), 40, 40), ((90, 160), 40, 10)])
def test_the_picture_fits_and_keeps_its_shape(size, columns, rows):
    lines = half_blocks(jpeg(Image.new("RGB", size)), columns, rows).splitlines()
    width, height = len(CELL.findall(lines[0])), 2 * len(lines)
    assert width <= columns and len(lines) <= rows
    assert width / height == pytest.approx(size[0] / size[1], rel=0.15)


def test_what_is_no_jpeg_is_an_os_error():
    with pytest.raises(OSError):
        half_blocks(b"GIF89a", 10, 10)

import subprocess
import sys
from contextlib import suppress
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.imaging.header import MAX_SEGMENTS, Header, ImageError, Limits, inspect

LIMITS = Limits(bytes=4 * 2**20, pixels=25_000_000)


def encoded(form, size=(40, 30), mode="RGB", **options):
    file = BytesIO()
    Image.effect_noise(size, 60).convert(mode).save(file, form, **options)
    return file.getvalue()


def reason(data, limits=LIMITS):
    with pytest.raises(ImageError) as caught:
        inspect(data, limits)
    return caught.value.reason


REAL = [
    encoded("JPEG"),
    encoded("JPEG", progressive=True, exif=Image.Exif().tobytes() + bytes(200)),
    encoded("PNG"),
    encoded("WEBP"),
    encoded("WEBP", lossless=True),
    encoded("WEBP", mode="RGBA", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"),
]


@pytest.mark.parametrize("data", REAL)
def test_size_and_format_are_read(data):
    found = inspect(data, LIMITS)
    assert (found.width, found.height) == (40, 30)
    assert found.format == Image.open(BytesIO(data)).format


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(["JPEG", "PNG", "WEBP"]), st.booleans())
def test_every_size_is_read_as_written(width, height, form, lossless):
    file = BytesIO()
    Image.new("RGB", (width, height)).save(file, form, **({"lossless": lossless} if form == "WEBP" else {}))
    assert inspect(file.getvalue(), LIMITS) == Header(form, width, height)


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF", "ICO", "PPM", "TGA"])
def test_other_formats_are_refused(form):
    assert reason(encoded(form)) == "format"


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"RIFF", b"<svg/>", b"%!PS-Adobe", b"GIF89a"])
def test_what_is_no_image_is_refused(data):
    assert reason(data) == "format"


def test_limits_hold_at_the_boundary():
    data = encoded("JPEG", (100, 50))
    assert inspect(data, Limits(len(data), 5000)).width == 100
    assert reason(data, Limits(len(data) - 1, 5000)) == "bytes"
    assert reason(data, Limits(len(data), 4999)) == "pixels"


def png(header):
    return b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + header + bytes(4)


SIZE = (8).to_bytes(4, "big") * 2


@pytest.mark.parametrize(
    "data, expected",
    [
        (png(bytes(8) + b"\x08\x02\0\0\0"), "header"),  # no width
        (png(b"\xff" * 8 + b"\x08\x02\0\0\0"), "pixels"),
        (png(SIZE + b"\x04\x02\0\0\0"), "header"),  # 4-bit RGB does not exist
        (png(SIZE + b"\x08\x02\x01\0\0"), "header"),  # nor another compression
        (png(SIZE)[:30], "truncated"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\x0dIDAT" + bytes(20), "header"),
        (b"\xff\xd8\xff\xe0\0\x10", "truncated"),
        (b"\xff\xd8\xff\xd9", "header"),
        (b"\xff\xd8\xff\xc0\0\x0b\x08\0\x08", "truncated"),
        (b"\xff\xd8\xff\xc0\0\x02", "header"),
        (b"\xff\xd8\xff\xc0\0\x0b\x08\0\x08\0\x08\x03\x01\x11\0", "header"),  # three components promised
        (b"\xff\xd8\xff\xc0\0\x0b\x0c\0\x08\0\x08\x01\x01\x11\0", "unsupported"),  # 12 bits
        (b"\xff\xd8\xff\xc3\0\x0b\x08\0\x08\0\x08\x01\x01\x11\0", "unsupported"),  # lossless
        (b"\xff\xd8\xff\xc0\0\x0b\x08\0\0\0\x08\x01\x01\x11\0", "header"),  # no height
        (b"\xff\xd8" + b"\xff\xe0\0\x02" * (MAX_SEGMENTS + 1), "header"),
        (b"RIFF\x1e\0\0\0WEBPVP8X" + bytes(10), "truncated"),
        (b"RIFF\xff\0\0\0WEBPVP8X" + bytes(18), "truncated"),
        (b"RIFF\x16\0\0\0WEBPJUNK" + bytes(18), "header"),
        (b"RIFF\x16\0\0\0WEBPVP8L" + bytes(18), "header"),
        (b"RIFF\x16\0\0\0WEBPVP8 " + bytes(18), "header"),
        (b"RIFF\x16\0\0\0WEBPVP8X" + bytes(8) + b"\xff" * 10, "pixels"),
    ],
)
def test_absurd_headers_have_their_reason(data, expected):
    assert reason(data) == expected


def test_junk_and_fill_bytes_before_the_frame_are_passed_over():
    data = encoded("JPEG")
    assert inspect(data[:2] + b"\xff" * 9 + data[2:], LIMITS).width == 40
    assert inspect(data[:20] + b"junk\xff\0junk" + data[20:], LIMITS).width == 40


@pytest.mark.parametrize("junk", [b"\xff", b"\xff\0", b"\0", b"\xff\x01"])
def test_megabytes_of_junk_are_one_pass(junk):
    """Not a timing assertion: anything quadratic in four megabytes would run into the test's timeout."""
    data = (b"\xff\xd8\xff\xe0\0\x02" + junk * LIMITS.bytes)[: LIMITS.bytes - 1] + b"\0"
    assert reason(data) in ("truncated", "header")


@given(st.binary(max_size=400), st.sampled_from([b"", *(data[:12] for data in REAL)]))
def test_random_bytes_end_in_a_header_or_a_reason(data, start):
    try:
        found = inspect(start + data, LIMITS)
    except ImageError:
        return
    assert 0 < found.width * found.height <= LIMITS.pixels


@given(st.sampled_from(REAL), st.data())
def test_damaged_files_end_in_a_header_or_a_reason(data, draw):
    hurt = bytearray(data[: draw.draw(st.integers(0, len(data)))])
    for position in draw.draw(st.lists(st.integers(0, max(len(hurt) - 1, 0)), max_size=8)):
        if hurt:
            hurt[position] = draw.draw(st.integers(0, 255))
    with suppress(ImageError):
        inspect(bytes(hurt), LIMITS)


def test_the_front_needs_no_image_library():
    code = "import sys, models.imaging.header; print(sorted({'PIL', 'numpy', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"

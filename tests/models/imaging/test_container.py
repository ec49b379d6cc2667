import zlib
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from models.imaging.container import orientation, pare
from models.imaging.header import MAX_SCANS, MAX_SEGMENTS, SOS, ImageError, segments


def exif(turn):
    block = Image.Exif()
    block[0x0112] = turn
    return block.tobytes()


def picture(form, size=(24, 16), **options):
    file = BytesIO()
    Image.effect_noise(size, 60).convert("RGB").save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_orientation_is_found_in_every_format(form, turn):
    assert pare(picture(form, exif=exif(turn)), form).orientation == turn


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_no_exif_is_upright(form):
    assert pare(picture(form), form).orientation == 1


@pytest.mark.parametrize("chunk", ["text", "zip"])
def test_orientation_in_imagemagicks_text_is_found(chunk):
    """ImageMagick writes EXIF into PNG as hexadecimal text after three lines of its own."""
    body = exif(6)
    text = PngImagePlugin.PngInfo()
    lines = f"\nexif\n{len(body):8}\n{body.hex()}\n"
    text.add_text("Raw profile type exif", lines, zip=chunk == "zip")
    assert pare(picture("PNG", pnginfo=text), "PNG").orientation == 6


@pytest.mark.parametrize("body", [b"zz not hexadecimal", b"\n\n\nzz", b""])
@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt"])
def test_broken_text_profiles_are_upright(kind, body):
    text = PngImagePlugin.PngInfo()
    text.add(kind, b"Raw profile type exif\0" + body)
    assert pare(picture("PNG", pnginfo=text), "PNG").orientation == 1


@given(st.binary(max_size=200), st.sampled_from([b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]))
def test_any_exif_bytes_give_an_orientation(data, start):
    assert 1 <= orientation(start + data) <= 8


@pytest.mark.parametrize("value", [0, 9, 255])
def test_absurd_orientations_are_upright(value):
    assert orientation(exif(6).removeprefix(b"Exif\0\0").replace(b"\x06\0\0\0", bytes([value, 0, 0, 0]))) == 1


def test_a_directory_that_points_at_itself_costs_a_bounded_search():
    assert orientation(b"II*\0\0\0\0\0" + b"\xff" * 100_000) == 1


def test_metadata_does_not_reach_the_decoder():
    secret = b"home address of the driver"
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", secret.decode(), zip=False)
    for form, options in (("JPEG", {"comment": secret, "icc_profile": secret}), ("PNG", {"pnginfo": text})):
        data = picture(form, exif=exif(3) + secret, **options)
        assert secret in data
        assert secret not in pare(data, form).data


def test_pixels_survive_paring():
    for form, options in (("JPEG", {"progressive": True, "exif": exif(1)}), ("PNG", {"exif": exif(1)})):
        data = picture(form, **options)
        before, after = Image.open(BytesIO(data)), Image.open(BytesIO(pare(data, form).data))
        assert before.tobytes() == after.tobytes()


def test_a_second_picture_after_the_end_is_dropped():
    data = picture("JPEG")
    assert pare(data + picture("JPEG", (99, 99)), "JPEG").data == pare(data, "JPEG").data


def test_the_end_of_a_file_is_noticed():
    for form in ("JPEG", "PNG"):
        data = picture(form)
        assert pare(data, form).complete
        assert not pare(data[:-20], form).complete


def test_a_jpeg_of_too_many_scans_is_refused():
    data = picture("JPEG", progressive=True)
    last = [segment for segment in segments(data) if segment.marker == SOS][-1]
    bomb = data[: last.end] + data[last.start : last.end] * MAX_SCANS + b"\xff\xd9"
    with pytest.raises(ImageError, match="scans"):
        pare(bomb, "JPEG")


def test_a_jpeg_without_a_scan_is_truncated():
    data = picture("JPEG")
    first = next(segment for segment in segments(data) if segment.marker == SOS)
    with pytest.raises(ImageError, match="truncated"):
        pare(data[: first.start], "JPEG")


def test_too_many_chunks_are_refused():
    empty = (0).to_bytes(4, "big") + b"abCd" + zlib.crc32(b"abCd").to_bytes(4, "big")
    png = picture("PNG")
    with pytest.raises(ImageError, match="header"):
        pare(png[:33] + empty * MAX_SEGMENTS + png[33:], "PNG")
    webp = picture("WEBP")
    with pytest.raises(ImageError, match="header"):
        pare(webp[:12] + b"JUNK\0\0\0\0" * (MAX_SEGMENTS + 1), "WEBP")

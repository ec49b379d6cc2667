"""What validators may do to an image, and what they never do."""

import io
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.learn.regimes import (
    REGIMES,
    SIDE,
    add_noise,
    blur,
    coarsen,
    crop_box,
    darken,
    draw,
    letterbox,
    saturate,
    show,
)


def frame(width=480, height=270):
    """Red left half, blue right half, a white bar on top: enough to see turns, mirrors and cuts."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[:, : width // 2, 0] = 220
    pixels[:, width // 2 :, 2] = 220
    pixels[: height // 10] = 255
    return Image.fromarray(pixels)


def read(data):
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("regime", REGIMES)
def test_same_seed_same_bytes_and_another_seed_another_draw(regime):
    image = frame()
    again = [draw(regime, image, np.random.default_rng(5)) for _ in range(2)]
    assert again[0] == again[1]
    if regime != "native":
        assert len({draw(regime, image, np.random.default_rng(seed))[0] for seed in range(10)}) > 3


@pytest.mark.parametrize("regime", REGIMES)
def test_jpeg_of_the_validators_quality_chroma_and_size(regime):
    image = frame()
    rng = np.random.default_rng(0)
    for _ in range(8):
        data, _ = draw(regime, image, rng)
        decoded = read(data)
        assert decoded.format == "JPEG"
        assert decoded.size == (image.size if regime == "native" else (SIDE, SIDE))
        assert decoded.layer[0][1:3] == (2, 2) and decoded.layer[1][1:3] == (1, 1)
        reference = io.BytesIO()
        decoded.save(reference, format="JPEG", quality=75)
        assert decoded.quantization == read(reference.getvalue()).quantization


@pytest.mark.parametrize("regime", ["augmented", "letterbox"])
def test_every_level_is_drawn_a_quarter_of_the_time(regime):
    image = frame(48, 27)
    rng = np.random.default_rng(1)
    counts = Counter(show(regime, image, rng)[1] for _ in range(600))
    assert set(counts) == {0, 1, 2, 3}
    assert all(abs(count - 150) < 5 * np.sqrt(600 * 0.25 * 0.75) for count in counts.values())


def test_native_touches_nothing_but_the_encoding():
    image = frame()
    shown, level = show("native", image, np.random.default_rng(0))
    assert level == -1
    assert np.array_equal(np.asarray(shown), np.asarray(image))


def test_never_mirrored():
    image = frame()
    rng = np.random.default_rng(2)
    for _ in range(300):
        pixels = np.asarray(letterbox(show("letterbox", image, rng)[0])).astype(int)
        middle = pixels[SIDE // 2]
        assert middle[20:60, 0].sum() > middle[20:60, 2].sum()
        assert middle[-60:-20, 2].sum() > middle[-60:-20, 0].sum()
        top, bottom = pixels[: SIDE // 2, 90:130], pixels[SIDE // 2 :, 90:130]
        assert top[..., 1].sum() > bottom[..., 1].sum()


@given(width=st.integers(1, 4000), height=st.integers(1, 4000), seed=st.integers(0, 2**32))
def test_crop_lies_inside_and_keeps_a_fifth_of_the_area_where_that_fits(width, height, seed):
    left, top, side = crop_box(width, height, np.random.default_rng(seed))
    assert 0 <= left <= width - side and 0 <= top <= height - side
    smallest = np.sqrt(0.2 * width * height)
    assert side >= min(width, height, int(smallest)) and side >= 1


def test_crop_sides_on_a_full_hd_frame_match_the_measured_ones():
    rng = np.random.default_rng(3)
    sides = [crop_box(1920, 1080, rng)[2] for _ in range(3000)]
    assert min(sides) >= 644 and max(sides) <= 1080
    assert abs(np.median(sides) - 886) < 15


def test_level_zero_is_the_centre_square():
    image = frame(400, 200)
    rng = np.random.default_rng(0)
    shown = next(
        picture for picture, level in iter(lambda: show("augmented", image, rng), None) if level == 0
    )
    expected = image.crop((100, 0, 300, 200)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    assert np.array_equal(np.asarray(shown), np.asarray(expected))


def test_letterbox_shows_the_whole_frame_between_black_bars():
    pixels = np.asarray(letterbox(frame(400, 200)))
    assert pixels[:55].max() == 0 and pixels[-55:].max() == 0
    assert pixels[60:160].max(axis=2).min() > 100


def test_strengths_of_the_tables():
    rng = np.random.default_rng(4)
    pixels = rng.integers(0, 256, (60, 60, 3), dtype=np.uint8)
    grey = pixels @ np.array([0.299, 0.587, 0.114])
    faded = saturate(pixels, 0.4).astype(float)
    assert np.allclose(faded - grey[..., None], 0.4 * (pixels - grey[..., None]), atol=1.01)
    assert np.array_equal(darken(pixels, 0.85), np.floor(pixels * np.float32(0.85)).astype(np.uint8))
    noisy = add_noise(np.full((200, 200, 3), 128, dtype=np.uint8), 0.001, rng).astype(float)
    assert np.allclose(noisy.std(axis=(0, 1)), [16.0, 11.5, 19.0], rtol=0.1)
    constant = np.full((30, 40, 3), 77, dtype=np.uint8)
    assert np.array_equal(blur(constant, 9), constant)
    assert np.array_equal(coarsen(constant, 3), constant)


def test_halving_averages_neighbours():
    row = np.array([[0, 100, 50, 150]], dtype=np.uint8)
    pixels = np.repeat(np.repeat(row, 4, axis=0)[..., None], 3, axis=2)
    coarse = coarsen(pixels, 2)
    assert coarse[1, 0, 0] == 50 and coarse[1, 3, 0] == 100


def test_no_distortion_wraps_around_at_black_or_white():
    rng = np.random.default_rng(5)
    for value in (0, 255):
        flat = np.full((64, 64, 3), value, dtype=np.uint8)
        for changed in (saturate(flat, 0.3), add_noise(flat, 0.002, rng), blur(flat, 7), coarsen(flat, 2)):
            assert np.abs(changed.astype(int) - value).max() < 200


def test_unknown_regime_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="augmented, letterbox, native"):
        show("mirrored", frame(), np.random.default_rng(0))

"""A look shows the whole frame in its shape, without the bars around it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.learn.regimes import letterbox
from models.regions.look import STRIDE, grid, look, without_bars

edge = st.integers(1, 3000)


@given(edge, edge, st.integers(64, 512))
def test_a_grid_has_about_the_area_asked_for_in_whole_cells(width, height, side):
    across, down = grid(width, height, side)
    assert across % STRIDE == down % STRIDE == 0
    assert 0.4 * side**2 <= across * down <= 2.2 * side**2
    assert (across >= down) == (width >= height) or abs(across - down) <= STRIDE


def picture(width, height):
    return Image.fromarray(np.random.default_rng(1).integers(60, 200, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(320, 180), (180, 320), (300, 200)])
def test_letterbox_bars_are_cut_off_and_the_window_says_so(size):
    boxed = letterbox(picture(*size))
    left, top, right, bottom = look(boxed, 128).window
    long = max(size)
    assert right - left == pytest.approx(size[0] / long, abs=0.02)
    assert bottom - top == pytest.approx(size[1] / long, abs=0.02)
    assert look(boxed, 128).pixels.min() > -1


def test_a_frame_without_bars_is_shown_whole():
    assert look(picture(300, 200), 128).window == (0, 0, 1, 1)


@pytest.mark.parametrize(
    "image", [Image.new("RGB", (200, 100)), Image.new("RGB", (1, 1)), Image.new("RGB", (9, 700))]
)
def test_a_black_frame_is_night_and_not_all_bar(image):
    assert without_bars(image) == (0, 0, *image.size)
    assert np.isfinite(look(image, 64).pixels).all()


def test_a_dark_sky_alone_is_no_bar():
    pixels = np.asarray(picture(300, 300)).copy()
    pixels[:100] = 0
    assert without_bars(Image.fromarray(pixels)) == (0, 0, 300, 300)

"""Cheap numbers of a picture: finite for any, and they say what they are called."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from models.difficulty import scene
from models.imaging.measure import PICTURE, picture


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 10**6), st.integers(0, 2**32 - 1))
def test_any_picture_has_every_number_and_all_are_finite(width, height, encoded, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    found = picture(Image.fromarray(pixels), encoded)
    assert tuple(found) == PICTURE and all(map(math.isfinite, found.values()))
    assert all(0 <= found[name] <= 1 for name in ("brightness", "contrast", "dark", "edges"))


def test_they_say_what_they_are_called():
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    sharp, dark = Image.fromarray(noise), Image.fromarray((noise // 10).astype(np.uint8))
    soft = sharp.filter(ImageFilter.GaussianBlur(3))
    grey = sharp.convert("L").convert("RGB")
    of = {name: picture(image, 9600) for name, image in
          {"sharp": sharp, "dark": dark, "soft": soft, "grey": grey}.items()}  # fmt: skip
    assert of["soft"]["sharpness"] < of["sharp"]["sharpness"] and of["soft"]["edges"] < of["sharp"]["edges"]
    assert of["dark"]["brightness"] < of["sharp"]["brightness"] and of["dark"]["dark"] > 0.9
    assert of["grey"]["colour"] < 0.01 < of["sharp"]["colour"]
    assert of["sharp"]["density"] == 0 and of["sharp"]["aspect"] == math.log(320 / 240)


def test_of_several_views_the_mean_counts():
    assert scene([{"dark": 0.25, "size": 10.0}, {"dark": 0.75, "size": 20.0}]) == {"dark": 0.5, "size": 15.0}

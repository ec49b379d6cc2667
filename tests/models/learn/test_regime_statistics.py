"""What validators of v0.2.4 draw, held against the distribution that their code documents."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image
from scipy.stats import chisquare, kstest

from models.learn import regimes
from models.learn.regimes import CROP_AREA, MAX_ANGLE, SIDE, crop_box, distort, rotate, show

LEAST = 1e-3
"""p-value below which draws are not from the distribution; seeds are fixed, so this does not flicker."""


def test_angles_are_even_over_twenty_degrees_either_way(monkeypatch):
    angles = []
    monkeypatch.setattr(Image.Image, "rotate", lambda image, angle, _: angles.append(angle) or image)
    rng = np.random.default_rng(12)
    for _ in range(1500):
        rotate(Image.new("RGB", (8, 8)), rng)
    assert kstest(angles, "uniform", args=(-MAX_ANGLE, 2 * MAX_ANGLE)).pvalue > LEAST


def test_crop_areas_are_even_up_to_what_fits_and_lie_anywhere():
    """On a square frame every area fits; on 16:9 those above 9/16 do not, and are drawn again."""
    rng = np.random.default_rng(13)
    boxes = [crop_box(1000, 1000, rng) for _ in range(2000)]
    areas = np.array([side**2 for _, _, side in boxes]) / 1e6
    low, high = CROP_AREA
    assert kstest(areas, "uniform", args=(low, high - low)).pvalue > LEAST
    inside = np.array([left / (1000 - side) for left, _, side in boxes if side < 900])
    assert kstest(inside, "uniform", args=(0, 1)).pvalue > LEAST
    wide = [crop_box(1920, 1080, rng)[2] for _ in range(1500)]
    areas = np.array(wide) ** 2 / (1920 * 1080)
    assert kstest(areas, "uniform", args=(low, 9 / 16 - low)).pvalue > LEAST


@pytest.mark.parametrize("level", [1, 2, 3])
def test_every_strength_is_as_frequent_as_none_of_it(monkeypatch, level):
    """Level 1 distorts nothing; level 2 three ways, half of the time each; level 3 five ways, two thirds."""
    drawn = {name: Counter() for name in ("saturate", "darken", "coarsen", "add_noise", "blur")}
    for name, counts in drawn.items():
        monkeypatch.setattr(
            regimes, name, lambda pixels, strength, *_, to=counts: to.update([strength]) or pixels
        )
    image, rng = Image.new("RGB", (4, 4)), np.random.default_rng(14)
    for _ in range(900):
        distort(image, level, rng)
    ways = {1: 0, 2: 3, 3: 5}[level]
    assert [bool(counts) for counts in drawn.values()] == [True] * ways + [False] * (5 - ways)
    for counts in drawn.values():
        if counts:
            assert len(counts) == level and chisquare(list(counts.values())).pvalue > LEAST
            assert None in counts


def test_augmented_challenges_are_never_mirrored():
    """Red left of blue: after any turn and cut that shows both, red is still on the left."""
    pixels = np.zeros((120, 120, 3), dtype=np.uint8)
    pixels[:, :60, 0] = pixels[:, 60:, 2] = 255
    image, rng, both = Image.fromarray(pixels), np.random.default_rng(15), 0
    across = np.arange(SIDE)
    for _ in range(150):
        shown = np.asarray(show("augmented", image, rng)[0]).astype(float)
        red, blue = shown[..., 0].sum(axis=0), shown[..., 2].sum(axis=0)
        if min(red.sum(), blue.sum()) > 0.02 * 255 * SIDE**2:
            both += 1
            assert (across * red).sum() / red.sum() < (across * blue).sum() / blue.sum()
    assert both > 75

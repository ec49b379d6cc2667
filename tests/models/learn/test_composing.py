"""Cut-outs stand in the street as if they had been photographed with it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from models.learn.compose import (
    CutOut,
    blur,
    compose,
    cut_out,
    grain,
    light,
    never_judged,
    steepness,
    write_composed,
)
from models.learn.data import Example, read

SIZE = (160, 120)


def street(level=118, noise=0.0, seed=0):
    """A flat grey street with a kerb, with grain."""
    rng = np.random.default_rng(seed)
    pixels = np.full((SIZE[1], SIZE[0], 3), level, np.float32)
    pixels[:, 80:] *= 0.7
    return np.clip(pixels + noise * rng.standard_normal(pixels.shape[:2])[..., None], 0, 255).astype(
        np.float32
    )


def photo(pixels):
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.mark.parametrize("works", [True, False])
def test_something_is_put_in_and_the_rest_stays(works):
    before = street()
    found = [compose(photo(before), works, np.random.default_rng(seed)) for seed in range(6)]
    shares = [
        (np.abs(np.asarray(each).astype(int) - before.astype(int)).max(axis=2) > 12).mean() for each in found
    ]
    assert all(each.size == SIZE for each in found)
    assert np.median(shares) > 0.002 and max(shares) < 0.7
    again = compose(photo(before), works, np.random.default_rng(0))
    assert again.tobytes() == found[0].tobytes()


def block(value=200.0):
    mask = np.zeros((SIZE[1], SIZE[0]), np.float32)
    mask[40:90, 20:60] = 1
    return CutOut(np.full((*mask.shape, 3), value, np.float32), mask)


def inside(found):
    return float(found.pixels[found.mask > 0.9].mean())


def test_a_dark_street_darkens_and_a_tinted_one_tints():
    day, night = light(block(), street(150)), light(block(), street(25))
    assert inside(night) < 0.6 * inside(day)
    tinted = street(110)
    tinted[..., 2] *= 0.5
    colours = light(block(), tinted).pixels[60, 40]
    assert colours[2] < 0.9 * colours[0]


def test_an_unsharp_street_gets_unsharp_cut_outs():
    sharp = street()
    for stripe in range(0, SIZE[0], 20):
        sharp[:, stripe : stripe + 10] *= 0.6
    soft = np.asarray(photo(sharp).filter(ImageFilter.GaussianBlur(2.5)), np.float32)
    assert steepness(sharp) > 1.5 * steepness(soft)

    def rim(found):
        return int(((found.mask > 0.02) & (found.mask < 0.98)).sum())

    assert rim(blur(block(), soft)) > rim(blur(block(), sharp))


@pytest.mark.parametrize("noise", [2.0, 6.0])
def test_grain_is_measured(noise):
    assert grain(street(noise=noise)) == pytest.approx(noise, rel=0.25)


def test_a_cut_out_is_solid_inside_and_empty_outside():
    found = cut_out(SIZE, True, np.random.default_rng(2))
    assert found.mask.min() == 0 and found.mask.max() == 1 and 0 < found.mask.mean() < 0.7
    assert found.pixels.min() >= 0 and found.pixels.max() <= 255


def test_composed_pictures_have_both_labels_and_keep_their_streets_sequence(tmp_path):
    streets = []
    for number in range(3):
        path = tmp_path / f"{number}.jpg"
        photo(street(seed=number)).save(path)
        streets.append(Example(path, False, "cam", f"drive-{number}"))
    found = write_composed(tmp_path / "out", streets, 8, seed=1)
    assert [each.roadwork for each in found] == [True, False] * 4
    assert {each.source for each in found} == {"composed"}
    assert {each.sequence for each in found} <= {each.sequence for each in streets}
    assert len(read(tmp_path / "out")) == 8
    kept = [each.path.stat().st_mtime_ns for each in found]
    again = write_composed(tmp_path / "out", streets, 8, seed=1)
    assert again == found and [each.path.stat().st_mtime_ns for each in again] == kept
    assert write_composed(tmp_path / "none", [], 8, seed=1) == []


def test_only_streets_that_no_fold_judges_are_used_beside_a_cross_fit(tmp_path):
    def one(source, roadwork):
        return Example(tmp_path / "x.jpg", roadwork, source, "s")

    both = [one("cam", True), one("cam", False), one("lonely", False), one("cones", True)]
    assert never_judged(both) == [both[2]]

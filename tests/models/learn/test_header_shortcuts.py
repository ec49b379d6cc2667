"""A model that sees only the header of a challenge learns nothing from our evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.learn.data import Example, read
from models.learn.judge import ask
from models.learn.shapes import dealt, shapes_of
from models.learn.shortcuts import dealt_only, headers, size_only

SHARED = Path(__file__).parents[4] / "shared" / "data"
MOST = 0.1


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """Works are wide and finely encoded, streets without are square and coarse."""
    folder, rng = tmp_path_factory.mktemp("giveaway"), np.random.default_rng(0)
    examples = []
    for number in range(60):
        roadwork = number % 2 == 0
        size = (160, 90) if roadwork else (100, 100)
        path = folder / f"{number}.jpg"
        noise = Image.fromarray(rng.integers(0, 255, (9, 16, 3), dtype=np.uint8))
        noise.resize(size).save(path, quality=95 if roadwork else 40)
        examples.append(Example(path, roadwork, "cam", str(number)))
    return examples


def test_files_give_the_label_away_and_challenges_do_not(collection):
    training, test = collection[:40], collection[40:]
    assert size_only(training, test) == pytest.approx(1)
    found = headers(training, test)
    assert found["augmented"] == 0
    for regime in ("native", "letterbox"):
        assert found[regime] < 0.5, "one deal of twenty pictures is noisy; many are not"
    assert abs(dealt_only(training, test)) < MOST


def test_shapes_are_dealt_out_whole_and_blindly(collection):
    shapes = dealt(collection, seed=3)
    assert sorted(shapes) == sorted(shapes_of(collection)) and shapes == dealt(collection, seed=3)
    kept = np.mean([shape == own for shape, own in zip(shapes, shapes_of(collection), strict=True)])
    assert 0.25 < kept < 0.75


def test_native_challenges_come_in_the_shapes_dealt(collection):
    seen = []

    def note(images):
        seen.extend(image.size for image in images)
        return np.zeros(len(images))

    some, shapes = collection[:6], dealt(collection[:6], seed=1)
    ask(note, some, {"augmented": 1, "native": 1}, shapes=shapes)
    assert seen[1::2] == shapes and set(seen[::2]) == {(224, 224)}


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the real images in ../shared/data, which are absent")
def test_real_images_cannot_be_told_by_their_size():
    every = read(SHARED)
    assert size_only(every[::2], every[1::2]) > 0.3, "on a careless split the files' sizes give labels away"
    training, test = read(SHARED, "train"), read(SHARED, "val")
    assert abs(dealt_only(training, test)) < MOST

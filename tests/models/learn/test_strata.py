"""Every level once, in an order that an interrupted evaluation finds again."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from models.learn.data import read
from models.learn.kept import Kept
from models.learn.shapes import dealt
from models.learn.strata import LEVELS, VIEWS, ask_all


@pytest.fixture
def examples(tmp_path):
    for number in range(4):
        label = "roadwork" if number % 2 else "none"
        (tmp_path / "data" / label).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40 + number, 30), (60 * number, 90, 9)).save(
            tmp_path / f"data/{label}/{number}.jpg"
        )
    return read(tmp_path / "data")


def by_red(images):
    return np.array([np.asarray(image)[..., 0].mean() for image in images])


def test_each_picture_is_shown_natively_once_and_at_every_level(examples):
    sizes = []

    def judge(images):
        sizes.extend(image.size for image in images)
        return by_red(images)

    shapes = dealt(examples)
    found = ask_all(judge, examples, shapes)
    assert len(found.answers.scores) == len(examples) * len(VIEWS) == 36
    assert sizes[:: len(VIEWS)] == shapes
    assert all(size == (224, 224) for number, size in enumerate(sizes) if number % len(VIEWS))
    for regime in ("letterbox", "augmented"):
        rows = found.rows("all", regime)
        assert sorted(found.levels[rows].tolist()) == sorted([*LEVELS] * len(examples))
        assert len(found.rows("all", regime, level=2)) == len(examples)
    assert len(found.rows("elsewhere", "native")) == 0


def test_an_interrupted_one_goes_on_to_the_same_answers(examples, tmp_path):
    shapes = dealt(examples)
    whole = ask_all(by_red, examples, shapes).answers.scores
    path, asked = tmp_path / "kept", []

    def breaks(images):
        asked.append(1)
        if len(asked) > 2:
            raise KeyboardInterrupt
        return by_red(images)

    with pytest.raises(KeyboardInterrupt):
        ask_all(breaks, examples, shapes, kept=Kept(path, "key", len(VIEWS)))
    told = []
    again = ask_all(
        by_red, examples, shapes, kept=Kept(path, "key", len(VIEWS)), told=lambda *each: told.append(each)
    )
    assert np.array_equal(again.answers.scores, whole) and told == [(3, 4), (4, 4)]

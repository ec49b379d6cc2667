"""Probes that catch a model which reads something else than the street."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from models.learn.data import Example
from models.learn.judge import ONCE, ask
from models.learn.shortcuts import probe, size_only


@pytest.fixture
def collection(tmp_path):
    """Works are always wide, streets always square; one camera has both labels."""

    def write(name, size, roadwork, source="cam"):
        path = tmp_path / f"{name}.jpg"
        Image.new("RGB", size, (200, 100, 40) if roadwork else (90, 90, 90)).save(path)
        return Example(path, roadwork, source, name)

    works = [write(f"w{i}", (160 + i, 90), True) for i in range(20)]
    return works + [write(f"n{i}", (90, 90 + i % 3), False) for i in range(20)]


def by_shape(images):
    return np.array([10.0 if image.width > image.height else -10.0 for image in images])


def by_colour(images):
    return np.array([np.asarray(image)[..., 0].mean() - 150.0 for image in images])


def test_sizes_that_give_the_label_away_are_noticed(collection):
    assert size_only(collection, collection) == pytest.approx(1)


def test_sizes_that_say_nothing_score_about_zero(collection):
    works = [each for each in collection if each.roadwork]
    shuffled = [replace(each, roadwork=index % 2 == 0) for index, each in enumerate(works)]
    assert abs(size_only(shuffled, shuffled)) < 0.5


def test_a_judge_of_shapes_is_told_from_a_judge_of_content(collection):
    native = {"native": 1}
    cheat = probe(by_shape, collection, collection, ask(by_shape, collection, native))
    honest = probe(by_colour, collection, collection, ask(by_colour, collection, ONCE))
    assert cheat.shape_shift == 20 and honest.shape_shift == 0
    assert cheat.within == {"cam": pytest.approx(1)}
    assert set(honest.within) == {"cam"}

"""Rendered streets: repeatable, labelled, and told apart by nothing but the works."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from models.scenes import SIZES, render, render_traced, write_scenes
from models.scenes.stencil import LABELS


def difference(one, other):
    return np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).max(axis=2)


@pytest.mark.parametrize("roadwork", [True, False])
def test_a_seed_always_gives_the_same_scene(roadwork):
    assert render(7, roadwork).tobytes() == render(7, roadwork).tobytes()
    assert render(7, roadwork).tobytes() != render(8, roadwork).tobytes()


def test_both_labels_of_a_seed_share_size_and_street_and_differ_in_some_of_it():
    for seed in range(8):
        works, none = render(seed, True), render(seed, False)
        assert works.size == none.size and works.size in SIZES and works.mode == "RGB"
        changed = difference(works, none) > 12
        assert 0.0005 < changed.mean() < 0.5


def test_scenes_vary_in_size_and_brightness():
    scenes = [render(seed, False) for seed in range(24)]
    assert len({scene.size for scene in scenes}) >= 4
    assert np.std([np.asarray(scene).mean() for scene in scenes]) > 10


def test_written_folder_is_balanced_labelled_and_readable(tmp_path):
    paths = write_scenes(tmp_path, 6, seed=3)
    assert Counter(path.parent.name for path in paths) == {"roadwork": 3, "none": 3}
    assert sorted(paths) == sorted(tmp_path.rglob("*.jpg"))
    for path in paths:
        with Image.open(path) as image:
            assert image.size in SIZES


def test_folders_of_two_seeds_share_no_scene(tmp_path):
    first = {path.name for path in write_scenes(tmp_path / "a", 4, seed=0)}
    second = {path.name for path in write_scenes(tmp_path / "b", 4, seed=1)}
    assert not first & second


@pytest.mark.parametrize("count", [0, -1, 1_000_001])
def test_a_count_that_cannot_be_written_is_refused(tmp_path, count):
    with pytest.raises(ValueError, match="count"):
        write_scenes(tmp_path, count)
    assert not list(tmp_path.iterdir())


def test_a_trace_covers_what_the_works_changed_and_little_else():
    for seed in range(6):
        image, labels = render_traced(seed, True)
        traced = np.asarray(labels) > 0
        assert image.tobytes() == render(seed, True).tobytes()
        changed = difference(image, render(seed, False)) > 40
        assert (changed & traced).sum() > 0.85 * changed.sum()
        assert traced.sum() < 3 * changed.sum() + 500


def test_a_street_without_works_has_an_empty_trace():
    assert not np.asarray(render_traced(3, False)[1]).any()


def test_every_label_is_seen_in_some_scene():
    seen = {value for seed in range(30) for value in np.unique(np.asarray(render_traced(seed, True)[1]))}
    assert seen == set(range(len(LABELS) + 1))

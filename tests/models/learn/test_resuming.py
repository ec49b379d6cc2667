"""A training that was interrupted ends as one that was not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from models.learn.data import read
from models.learn.fit import fit
from models.learn.logbook import LogbookError, open_logbook
from models.learn.loop import Keep
from models.learn.recipe import Recipe
from models.learn.snapshot import NAME, SnapshotError, claim
from models.scenes import write_scenes

TINY = Recipe(side=48, batch=2, steps=4, warmup=1, rate=2e-3, checkpoints=(0.5, 1.0), folds=2)
WIDTH = 0.35


class Interrupted(Exception):
    pass


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("scenes")
    for path in write_scenes(folder, 8, seed=78):
        with Image.open(path) as image:
            image.resize((160, 120)).save(path)
    return [replace(each, source="drawn", sequence=f"{index % 4}") for index, each in enumerate(read(folder))]


def trained(scenes, keep, watch=None, stop_after=None, recipe=TINY, seed=1):
    """One run; `stop_after` breaks it once a snapshot of that many steps is on disk."""

    def teacher(views):
        asked.append(1)
        if stop_after is not None and len(asked) > stop_after:
            raise Interrupted
        return views.mean(dim=(1, 2, 3))

    asked = []
    return fit(
        scenes, None, recipe, seed, width=WIDTH, watch=watch, say=lambda _: None, keep=keep, teacher=teacher
    )


@pytest.fixture(scope="module")
def whole(scenes):
    return trained(scenes, Keep())


def test_an_interrupted_training_goes_on_to_the_same_weights(scenes, whole, tmp_path):
    keep, seen = Keep(tmp_path / "kept", every_s=0), []

    def watch(step, network):
        seen.append((step, network.classifier.weight.sum().item()))

    with pytest.raises(Interrupted):
        trained(scenes, keep, watch, stop_after=3)
    seen.clear()
    torch.manual_seed(999)
    again = trained(scenes, keep, watch)
    assert np.allclose(again.losses, whole.losses, rtol=1e-5)
    for name, value in whole.network.state_dict().items():
        assert torch.allclose(value, again.network.state_dict()[name], rtol=1e-4, atol=1e-5), name
    assert [step for step, _ in seen] == [2, 4], "the checkpoint before the interruption is shown again"
    done = trained(scenes, keep, stop_after=0)
    assert done.losses == again.losses, "a finished training is not done again"


def test_another_training_or_a_damaged_file_is_refused(scenes, tmp_path):
    keep = Keep(tmp_path / "kept")
    short = replace(TINY, steps=1)
    trained(scenes, keep, recipe=short)
    with pytest.raises(SnapshotError, match="another training"):
        trained(scenes, keep, recipe=replace(short, rate=1e-3))
    with pytest.raises(SnapshotError, match="another training"):
        trained(scenes[1:], keep, recipe=short)
    path = tmp_path / "kept" / NAME
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(SnapshotError, match="damaged"):
        trained(scenes, keep, recipe=short)


def test_intermediate_results_are_claimed_by_one_training(tmp_path):
    folder = tmp_path / "unfinished"
    claim(folder, "a mistake, of which nothing came")
    claim(folder, "mine")
    (folder / "crossfit.npz").touch()
    claim(folder, "mine")
    with pytest.raises(SnapshotError, match="another training"):
        claim(folder, "yours")


def test_losses_and_held_out_figures_go_to_event_files(scenes, tmp_path):
    pytest.importorskip("tensorboardX")
    keep = Keep(logs=tmp_path)
    trained(scenes, keep, lambda step, network: {"held_out/mcc": 0.5}, recipe=replace(TINY, steps=1))
    (events,) = tmp_path.glob("events.out.tfevents.*")
    text = events.read_bytes()
    assert b"loss" in text and b"rate" in text and b"held_out/mcc" in text


def test_missing_package_is_told_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    with pytest.raises(LogbookError, match=r"streetvision-miner\[train\]"), open_logbook(tmp_path):
        pass

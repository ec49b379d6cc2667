"""Training for compression on tiny random models: parameters move, records say what they should."""

from __future__ import annotations

import argparse

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification

from models.compress import pmod
from models.compress.apt import vit
from models.compress.apt.vit import Adaptive, AdaptiveClassifier
from models.learn.compression import apt, draft
from models.learn.compression import pmod as mixture
from models.learn.compression.maps import Views, accuracy
from models.learn.small_vlm.samples import Sample
from models.vlm.small.network import Shape, SmallNetwork

SHAPE = Shape(features=8, grid=2, width=32, inner=64, layers=3, heads=2)


@pytest.fixture(scope="module")
def views() -> Views:
    """Views of two cameras; works can be seen by everybody."""
    torch.manual_seed(0)
    samples = [Sample(number % 2 == 0, f"camera{number // 2 % 2}", ("cones",)) for number in range(24)]
    maps = torch.randn(24, 8, 2, 2)
    maps[::2, :3] += 4
    return Views(samples, maps)


@pytest.fixture(scope="module")
def network() -> SmallNetwork:
    torch.manual_seed(1)
    made = SmallNetwork(SHAPE)
    made.train(False)
    return made


def test_a_mixture_with_untrained_routers_learns_and_costs_less(views, network):
    shares = pmod.ratios(3)
    mixed = mixture.Mixed(network, shares)
    before = {name: each.clone() for name, each in mixed.named_parameters()}
    mixture.fit(mixed, views, mixture.Recipe(steps=15, batch=12, rate=3e-3), 0, lambda text: None)
    moved = {name for name, each in mixed.named_parameters() if not torch.equal(each, before[name])}
    assert any("router" in name for name in moved) and "project.weight" not in moved
    assert accuracy(mixed, views, mixture.Calibration()).auc > 0.9
    spent = mixture.costs(network, shares, 6)
    assert 0 < spent["flops"] < 1 and spent["kv"] == pytest.approx((11 * 3 + 24 + 12 + 3) / (35 * 3))


def test_a_draft_starts_as_the_targets_first_layer_and_learns_its_words(views, network):
    recipe = draft.Recipe(pool=12, steps=20, batch=8, grid=1)
    started = draft.begin(network, 1)
    assert torch.equal(started.project.weight, network.project.weight) and started.cells.shape == (1, 32)
    made = draft.fit(network, views, recipe, 0)
    maps = views.maps[:6, None]
    present = torch.ones(6, 1, dtype=torch.bool)
    theirs, ours = network.speak(maps, present), made.speak(draft.shrunk(maps, 1), present)
    assert np.mean([a[:2] == b[:2] for a, b in zip(theirs, ours, strict=True)]) >= 0.5


def test_a_table_of_its_answers_foretells_them(views, network):
    table = draft.table_of(network, views, draft.Recipe(pool=12), 0)
    said = network.speak(views.maps[:6, None], torch.ones(6, 1, dtype=torch.bool))
    told = [table.propose(words[:2], 1)[:1] == words[2:3] for words in said if len(words) > 2]
    assert np.mean(told) > 0.5


def test_a_retrofit_trains_every_layer_at_its_rate_and_can_be_loaded(tmp_path):
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    plain = ViTForImageClassification(ViTConfig(image_size=32, patch_size=8, num_labels=2, **shape))
    plain.save_pretrained(tmp_path / "model")
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for label in ("none", "roadwork"):
            folder = tmp_path / "data" / split / label
            folder.mkdir(parents=True)
            for number in range(4):
                noise = rng.integers(0, 60, (32, 32, 3)) + (120 if label == "roadwork" else 0)
                Image.fromarray(noise.astype(np.uint8)).save(folder / f"{number}.png")
    options = argparse.Namespace(
        model=tmp_path / "model", data=tmp_path / "data", out=tmp_path / "out", seed=0
    )
    record = apt.train(options, apt.Recipe(epochs=2, batch=4, rate=1e-3), Adaptive((9.0,)))
    assert record["val"]["plain"]["tokens"] == 1.0 and record["val"]["retrofitted"]["tokens"] == 0.25
    loaded = vit.restore(ViTForImageClassification.from_pretrained(tmp_path / "out"), tmp_path / "out")
    assert loaded.backbone.coarse.zero.weight.any()
    rates = {each["name"]: each["lr"] for each in apt.groups(loaded, apt.Recipe())}
    deep, shallow = (next(rate for name, rate in rates.items() if f"layers.{at}." in name) for at in (1, 0))
    assert shallow == pytest.approx(0.99 * deep) and max(rates.values()) == pytest.approx(1e-4)
    assert isinstance(loaded, AdaptiveClassifier)

"""The mean of several networks as one member."""

import json

import numpy as np
import pytest

from models import members
from models.checkpoint import CheckpointError
from models.classifier import load_classifier
from models.ensemble import load_ensemble
from models.learn.network import open_network, save
from models.scenes import render


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    for seed in (1, 2):
        save(open_network(None, seed, width=0.35), folder / f"seed-{seed}")
    (folder / "calibration.json").write_text(json.dumps({"temperature": 2.0, "threshold": 0.6}))
    return folder


def test_the_mean_is_calibrated_and_the_disagreement_told(pair):
    tier = members.load({"kind": "ensemble", "path": str(pair)}, "cpu")
    pictures = [tier.prepare(render(seed, seed == 1)) for seed in (0, 1)]
    alone = [load_classifier(pair / f"seed-{seed}").evidence(pictures) for seed in (1, 2)]
    raw = np.array([[each.log_odds for each in said] for said in alone])
    heard = tier.evidence(pictures)
    assert [each.log_odds for each in heard] == pytest.approx(
        [tier.calibration.apply(mean) for mean in raw.mean(axis=0)], abs=1e-6
    )
    assert [each.features["spread"] for each in heard] == pytest.approx(np.ptp(raw, axis=0), abs=1e-6)
    assert {each.tier for each in heard} == {"ensemble"}


def test_another_calibration_is_another_version(pair, tmp_path):
    for seed in (1, 2):
        (tmp_path / f"seed-{seed}").symlink_to(pair / f"seed-{seed}")
    assert load_ensemble(tmp_path).version != load_ensemble(pair).version


def test_one_checkpoint_is_no_ensemble(pair, tmp_path):
    (tmp_path / "seed-1").symlink_to(pair / "seed-1")
    with pytest.raises(CheckpointError, match="two checkpoints or more"):
        load_ensemble(tmp_path)


def test_networks_that_see_pictures_differently_are_refused(pair, tmp_path):
    (tmp_path / "seed-1").symlink_to(pair / "seed-1")
    save(open_network(None, 2, width=0.35), tmp_path / "seed-2")
    file = tmp_path / "seed-2" / "preprocessor_config.json"
    file.write_text(file.read_text().replace("224", "192"))
    with pytest.raises(CheckpointError, match="prepare pictures differently"):
        load_ensemble(tmp_path)

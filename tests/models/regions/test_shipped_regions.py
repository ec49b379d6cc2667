"""The region head that ships: fits the classifier that ships, is small, and tells its own figures."""

import json

import numpy as np
import pytest

from models import weights
from models.learn.region_card import render
from models.regions import load_regions
from models.regions.tier import digest
from models.scenes import render as render_scene


@pytest.fixture(scope="module")
def tier():
    return load_regions()


def test_it_fits_the_shipped_classifier_and_is_only_a_head(tier):
    assert tier.settings.backbone == digest(weights.DEFAULT)
    assert sum(path.stat().st_size for path in weights.REGIONS.iterdir()) < 100_000


def test_it_tells_drawn_works_from_the_same_street_without(tier):
    scenes = [render_scene(seed, works) for seed in range(71, 77) for works in (True, False)]
    said = tier.evidence([tier.prepare(scene) for scene in scenes])
    odds = np.array([each.log_odds for each in said]).reshape(-1, 2)
    assert (odds[:, 0] > odds[:, 1]).mean() >= 0.8
    assert any(each.boxes for each in said[::2])


def test_its_card_says_what_was_measured():
    record = json.loads((weights.REGIONS / "training.json").read_text())
    assert (weights.REGIONS / "README.md").read_text() == render(record)
    assert record["backbone"] == digest(weights.DEFAULT)
    assert json.loads((weights.REGIONS / "calibration.json").read_text()) == record["calibration"]

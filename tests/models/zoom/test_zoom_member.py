"""The closer look as it ships: loads, speaks, is guided, and its card tells its own figures."""

from __future__ import annotations

import json
import math

import pytest
import torch
from PIL import Image

from models import weights
from models.checkpoint import CheckpointError
from models.core import Box
from models.learn.zoom.card import render
from models.members import load
from models.scenes import render as render_scene
from models.zoom import load_zoom


@pytest.fixture(scope="module")
def tier():
    torch.set_num_threads(1)
    return load({"kind": "zoom"}, "cpu")


def test_it_speaks_of_each_and_boxes_cost_fewer_looks(tier):
    scene = render_scene(71, True)
    seen = [Box(0, "cone", 0.9, 0.4, 0.6, 0.45, 0.7)]
    plain, guided = tier.evidence([tier.prepare(scene), tier.prepare(scene, boxes=seen)])
    assert tier.guided and math.isfinite(plain.log_odds) and plain.version == tier.version
    assert 5 <= plain.features["looks"] <= tier.settings.effort.most
    assert guided.features["looks"] in (1, 6) and 0 < guided.features["chance"] < 1


def test_a_picture_of_one_pixel_is_no_trouble(tier):
    (said,) = tier.evidence([tier.prepare(Image.new("RGB", (1, 1)))])
    assert math.isfinite(said.log_odds)


def test_its_card_says_what_was_measured_and_names_what_is_negative():
    record = json.loads((weights.ZOOM / "training.json").read_text(encoding="utf-8"))
    card = (weights.ZOOM / "README.md").read_text(encoding="utf-8")
    assert card == render(record)
    assert all((each["gain"] >= 0 or each["verdict"] == "NEGATIVE") for each in record["steps"])


def test_other_settings_are_another_version_and_broken_ones_are_refused(tmp_path, tier):
    content = json.loads((weights.ZOOM / "zoom.json").read_text(encoding="utf-8"))
    (tmp_path / "zoom.json").write_text(
        json.dumps(content | {"effort": {**content["effort"], "most": 5}}), encoding="utf-8"
    )
    assert load_zoom(tmp_path).version != tier.version
    (tmp_path / "zoom.json").write_text(json.dumps(content | {"reward": {"weights": []}}), encoding="utf-8")
    with pytest.raises(CheckpointError, match="does not describe a closer look"):
        load_zoom(tmp_path)

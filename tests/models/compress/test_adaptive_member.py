"""A retrofitted classifier in the cascade: the plain one where nothing merges, small patches under boxes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification

from models import members
from models.checkpoint import CheckpointError
from models.classifier import load_classifier
from models.compress.apt.vit import Adaptive, AdaptiveClassifier
from models.core import Box
from models.learn.compression.apt import LABELS, Scale
from models.learn.traces import hear
from models.preprocess import build


@pytest.fixture(scope="module")
def save(tmp_path_factory):
    """Thresholds -> a folder with a tiny ViT of 4 x 4 patches."""
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = ViTConfig(image_size=32, patch_size=8, num_labels=2, **shape)
    config.id2label = dict(enumerate(LABELS))
    plain = ViTForImageClassification(config)

    def write(*thresholds: float):
        folder = tmp_path_factory.mktemp("adaptive")
        AdaptiveClassifier(plain, Adaptive(thresholds)).save(folder)
        (folder / "preprocessor_config.json").write_text(json.dumps(Scale(32).to_json()))
        return folder

    return write


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8))


def box(x0: float, y0: float, x1: float, y1: float) -> Box:
    return Box(0, "cones", 0.9, x0, y0, x1, y1)


def test_where_nothing_is_merged_it_says_what_the_plain_classifier_says(save, picture):
    folder = save(-1.0, -1.0)
    ours, plain = members.load({"kind": "adaptive", "path": str(folder)}, "cpu"), load_classifier(folder)
    (said,), (wanted,) = (tier.evidence([tier.prepare(picture)]) for tier in (ours, plain))
    assert said.log_odds == wanted.log_odds and said.features == {"kept_tokens": 16.0}
    assert (said.tier, ours.side) == ("adaptive", 32) and ours.version != plain.version


def test_patches_stay_small_where_members_before_it_saw_something(save, picture):
    tier = members.load({"kind": "adaptive", "path": str(save(99.0)), "name": "vit"}, "cpu")
    corner = box(0.05, 0.05, 0.1, 0.1)  # of a picture twice as wide as high: still the upper left quarter
    seen = [tier.prepare(picture, boxes) for boxes in ((), (corner,), (corner, box(0.8, 0.8, 0.9, 0.9)))]
    told = tier.evidence(seen)
    assert [one.features["kept_tokens"] for one in told] == [4, 7, 10]
    alone, _ = hear(tier, picture, [corner])
    assert alone.log_odds == pytest.approx(told[1].log_odds, abs=1e-5) and alone.tier == "vit"
    assert len({one.log_odds for one in told}) == 3


def test_a_box_follows_the_picture_through_resizing_and_cropping():
    whole = (0.0, 0.0, 1.0, 1.0)
    squashed = build({"image_processor_type": "ViTImageProcessor", "size": 32})
    assert squashed.place(whole, (640, 480)) == (0, 0, 32, 32)
    cropped = build({"image_processor_type": "CLIPImageProcessor", "size": 40, "crop_size": 32})
    assert cropped.place(whole, (80, 40)) == pytest.approx((-24, -4, 56, 36))
    assert cropped.place((0.5, 0.5, 0.5, 0.5), (80, 40)) == pytest.approx((16, 16, 16, 16))


def test_a_folder_that_was_not_retrofitted_is_refused(save):
    folder = save(4.5)
    (folder / "adaptive.json").unlink()
    with pytest.raises(CheckpointError, match=r"has no adaptive\.json: retrofit it"):
        members.load({"kind": "adaptive", "path": str(folder)}, "cpu")
    (folder / "adaptive.json").write_text("{}")
    with pytest.raises(CheckpointError, match="holds no adaptive patches"):
        members.load({"kind": "adaptive", "path": str(folder)}, "cpu")
    with pytest.raises(CheckpointError, match="needs the path of one"):
        members.load({"kind": "adaptive"}, "cpu")

"""Test-time views, several classifiers side by side, and timm checkpoints."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification

from models import timm_checkpoint
from models.checkpoint import CheckpointError
from models.classifier import load_classifier
from models.testviews import VIEWS, checked

SIDE = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("vit")
    torch.manual_seed(3)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    labels = {"id2label": {0: "None", 1: "Roadwork"}, "label2id": {"None": 0, "Roadwork": 1}}
    model = ViTForImageClassification(ViTConfig(image_size=SIDE, patch_size=8, **sizes, **labels))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)
    model.save_pretrained(where)
    config = {"image_processor_type": "ViTImageProcessor", "size": {"height": SIDE, "width": SIDE}}
    (where / "preprocessor_config.json").write_text(json.dumps(config))
    return where


def pictures():
    random = np.random.default_rng(2)
    return [Image.fromarray(random.integers(0, 256, (40, 90, 3), dtype=np.uint8)) for _ in range(3)]


def odds(tier, images):
    return [item.log_odds for item in tier.evidence([tier.prepare(image) for image in images])]


def test_the_mean_over_views_is_the_mean_of_the_views_alone(folder):
    alone = [odds(load_classifier(folder, views=(name,)), pictures()) for name in ("centre", "letterbox")]
    both = load_classifier(folder, views=("centre", "letterbox"))
    assert odds(both, pictures()) == pytest.approx(np.mean(alone, axis=0), abs=1e-4)
    said = both.evidence([both.prepare(pictures()[0])])[0]
    assert said.features["spread"] == pytest.approx(abs(alone[0][0] - alone[1][0]), abs=1e-4)


def test_the_mean_is_calibrated_not_the_views(folder):
    raw = odds(load_classifier(folder, views=("left", "right")), pictures())
    cooled = odds(load_classifier(folder, views=("left", "right"), temperature=2.0), pictures())
    assert cooled == pytest.approx([value / 2 for value in raw])


def test_one_view_is_the_plain_classifier_and_versions_tell_views_apart(folder):
    plain = load_classifier(folder)
    assert odds(load_classifier(folder, views=("whole",)), pictures()) == odds(plain, pictures())
    versions = {
        load_classifier(folder, views=views).version for views in (("whole",), ("centre",), ("whole", "left"))
    }
    assert len(versions) == 3 and plain.version in versions


@pytest.mark.parametrize("views", [(), ("centre", "centre"), ("diagonal",)])
def test_views_that_there_are_not_are_refused_with_those_there_are(folder, views):
    with pytest.raises(CheckpointError, match="centre, letterbox, left, right"):
        load_classifier(folder, views=views)


def test_two_classifiers_speak_under_their_own_names(folder):
    tiers = [load_classifier(folder, name=name) for name in ("first", "second")]
    assert [tier.evidence([tier.prepare(pictures()[0])])[0].tier for tier in tiers] == ["first", "second"]


@pytest.mark.parametrize("size", [(90, 40), (40, 90), (1, 1), (7, 300)])
def test_views_are_squares_that_show_what_they_say(size):
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    for name in checked(tuple(VIEWS)[1:]):
        shown = VIEWS[name](image)
        assert shown.width == shown.height == (max(size) if name == "letterbox" else min(size))
    inside = np.asarray(VIEWS["letterbox"](image))
    top, left = ((max(size) - size[1]) // 2, (max(size) - size[0]) // 2)
    assert np.array_equal(inside[top : top + size[1], left : left + size[0]], np.asarray(image))


# timm


def timm_config(**told):
    cfg = {"input_size": [3, 64, 64], "crop_pct": 0.8, "interpolation": "bicubic", "mean": [0.5] * 3, **told}
    return {"architecture": "resnet18", "num_classes": 2, "pretrained_cfg": cfg}


def test_a_timm_checkpoint_without_timm_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text(json.dumps(timm_config()))
    (tmp_path / "model.safetensors").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(CheckpointError, match=r"\[timm\].*torchvision"):
        load_classifier(tmp_path)


def test_timm_preprocessing_resizes_by_crop_pct_and_cuts_the_middle():
    prepare = timm_checkpoint.preprocess(timm_config())
    assert (prepare.resize, prepare.crop, prepare.resample) == (80, (64, 64), 3)
    assert prepare(Image.new("RGB", (100, 70), (255, 0, 0))).shape == (3, 64, 64)
    assert timm_checkpoint.preprocess(timm_config(crop_mode="squash", crop_pct=1)).resize == (64, 64)


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ({"crop_mode": "border"}, "border"),
        ({"interpolation": "magic"}, "magic"),
        ({"crop_pct": 0}, "crop_pct"),
    ],
)
def test_timm_preprocessing_that_cannot_be_honoured_is_refused_by_name(told, named):
    with pytest.raises(ValueError, match=named):
        timm_checkpoint.preprocess(timm_config(**told))


def test_a_transformers_checkpoint_is_not_timms(folder, tmp_path):
    assert timm_checkpoint.read_config(folder) is None
    assert timm_checkpoint.read_config(tmp_path) is None

"""Whole learning runs on a tiny checkpoint: what is written loads, and says what the report says."""

import json
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    MobileNetV2Config,
    MobileNetV2ForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)

from models import memory
from models.classifier import load_classifier
from models.learn.adaptation.__main__ import main
from models.learn.adaptation.candidate import NotAdaptable
from models.learn.adaptation.full import RECIPE, averaged, full
from models.learn.adaptation.items import Item, write
from models.learn.network import LABELS, PREPROCESSING

NAMES = {"id2label": LABELS, "label2id": {name: index for index, name in LABELS.items()}}


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    """120 images whose class is their colour, which a random network has not learned."""
    folder, rng, items = tmp_path_factory.mktemp("street"), np.random.default_rng(0), []
    for number in range(120):
        colour = (90, 110, 130) if number % 2 == 0 else (120, 140, 90)
        pixels = rng.normal(colour, 25, (48, 64, 3)).clip(0, 255).astype(np.uint8)
        path = folder / f"{number}.png"
        Image.fromarray(pixels).save(path)
        items.append(Item(sha256(path.read_bytes()).hexdigest(), path, number % 2 == 0, month="2026-11"))
    write(folder / "items.json", items)
    return folder / "items.json", items


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    ViTForImageClassification(ViTConfig(image_size=32, patch_size=8, **small, **NAMES)).save_pretrained(
        folder
    )
    config = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    return folder


def told(capsys):
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def right(folder, items):
    tier = load_classifier(folder)
    said = tier.evidence([tier.prepare(Image.open(one.path).convert("RGB")) for one in items])
    return np.mean([(each.log_odds > 0) == one.roadwork for each, one in zip(said, items, strict=True)])


def test_the_daily_run_writes_a_candidate_that_does_what_it_reports(street, base, tmp_path, capsys):
    path, items = street
    arguments = ["--items", str(path), "--base", str(base), "--out", str(tmp_path / "out")]
    assert main(["head", *arguments, "--cache", str(tmp_path / "cache.safetensors")]) == 0
    report = told(capsys)
    assert report["made"] and "a new last layer" in report["why"]
    held = [one for one in items if one.held]
    assert right(tmp_path / "out", held) > max(0.9, right(base, held))
    assert report["metrics"]["mcc"] > 0.8
    trained = json.loads((tmp_path / "out" / "trained.json").read_text())
    assert trained == sorted(one.key for one in items if not one.held)
    assert load_classifier(tmp_path / "out").embed().space == load_classifier(base).embed().space


def test_kept_embeddings_give_the_same_without_the_images(street, base, tmp_path, capsys):
    path, items = street
    common = ["--base", str(base), "--cache", str(tmp_path / "cache.safetensors")]
    assert main(["bias", "--items", str(path), "--out", str(tmp_path / "a"), *common]) == 0
    first = told(capsys)
    gone = tmp_path / "items.json"
    write(gone, [replace(one, path=tmp_path / "gone" / one.path.name) for one in items])
    assert main(["bias", "--items", str(gone), "--out", str(tmp_path / "b"), *common]) == 0
    assert told(capsys) == first


def test_a_memory_is_made_and_what_is_no_longer_labelled_is_forgotten(street, base, tmp_path, capsys):
    _, items = street
    some, shelf = tmp_path / "items.json", tmp_path / "memory"
    arguments = ["remember", "--items", str(some), "--base", str(base), "--out", str(shelf)]
    write(some, items[:20])
    assert main(arguments) == 0
    assert not told(capsys)["made"] and not shelf.exists()
    write(some, items[:60])
    assert main(arguments) == 0
    kept = memory.read(shelf)
    assert kept.keys == tuple(one.key for one in items[:60])
    write(some, items[1:40])
    assert main(arguments) == 0
    assert memory.read(shelf).keys == tuple(one.key for one in items[1:40])
    assert memory.read(shelf).reference.reach == kept.reference.reach


def test_an_unreadable_image_is_left_out_and_an_unusable_base_is_a_sentence(street, base, tmp_path, capsys):
    _, items = street
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"\xff\xd8 no image")
    write(tmp_path / "items.json", [*items[:40], Item("f" * 64, bad, True)])
    arguments = ["--items", str(tmp_path / "items.json"), "--out", str(tmp_path / "out")]
    assert main(["judge", "--base", str(base), *arguments]) == 0
    assert told(capsys)["metrics"]["held"] == sum(one.held for one in items[:40])
    assert main(["judge", "--base", str(tmp_path), *arguments]) == 1
    assert "nothing is learned" in capsys.readouterr().err


@pytest.mark.parametrize(("distil", "how"), [(False, "averaged with the old weights"), (True, "distilled")])
def test_the_weekly_run_trains_all_layers_and_writes_a_candidate(street, tmp_path, monkeypatch, distil, how):
    _, items = street
    monkeypatch.setattr("models.learn.adaptation.full.FEWEST", 10)
    torch.manual_seed(0)
    network = MobileNetV2ForImageClassification(
        MobileNetV2Config(depth_multiplier=0.35, tf_padding=True, **NAMES)
    )
    network.save_pretrained(tmp_path / "base")
    (tmp_path / "base" / "preprocessor_config.json").write_text(json.dumps(PREPROCESSING))
    recipe = replace(RECIPE, steps=2, batch=4, side=64, warmup=1)
    quiet = {"say": lambda text: None}
    assert not full(tmp_path / "base", items[:15], tmp_path / "out", recipe=recipe, **quiet).made
    learned = full(tmp_path / "base", items[:80], tmp_path / "out", recipe=recipe, distil=distil, **quiet)
    assert learned.made and how in learned.why
    before, after = (load_classifier(tmp_path / name).embed().space for name in ("base", "out"))
    assert before != after


def test_what_comes_of_it_lies_half_way_between_the_old_and_the_new_weights():
    torch.manual_seed(0)
    config = MobileNetV2Config(depth_multiplier=0.35, tf_padding=True, **NAMES)
    old, new = (MobileNetV2ForImageClassification(config) for _ in range(2))
    states = [network.state_dict() for network in (old, averaged(old, new), new)]
    first, middle, last = (each["mobilenet_v2.conv_1x1.convolution.weight"] for each in states)
    assert not torch.equal(first, last)
    torch.testing.assert_close(middle, (first + last) / 2)
    assert all(torch.isfinite(value).all() for value in states[1].values())


def test_the_weekly_run_refuses_another_architecture(street, base, tmp_path):
    with pytest.raises(NotAdaptable, match="vit"):
        full(base, street[1], tmp_path)

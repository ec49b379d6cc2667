"""Head, low-rank changes or everything of any backbone; what comes out is served like any checkpoint."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification

from models.checkpoint import CheckpointError
from models.classifier import load_classifier
from models.learn.data import read
from models.learn.loop import Keep
from models.learn.network import open_network
from models.learn.network import save as save_network
from models.learn.recipe import Recipe, shared
from models.learn.tune import lora
from models.learn.tune.__main__ import main
from models.learn.tune.backbone import judge_of, open_backbone
from models.learn.tune.export import _square_timm, save
from models.learn.tune.method import Method, apply, trained
from models.learn.tune.training import sized, tune
from models.scenes import write_scenes

TINY = Recipe(batch=2, steps=4, warmup=1, rate=5e-3, checkpoints=(0.5, 1.0), folds=2)
SIDE = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("labelled")
    for path in write_scenes(folder, 8, seed=79):
        with Image.open(path) as image:
            image.resize((96, 72)).save(path)
    return folder


@pytest.fixture(scope="module")
def scenes(folder):
    return [replace(each, source="drawn", sequence=f"{index % 4}") for index, each in enumerate(read(folder))]


@pytest.fixture(scope="module")
def backbones(tmp_path_factory):
    """A transformer for other labels, and the embedded architecture, both random and small."""
    vit, mobile = tmp_path_factory.mktemp("vit"), tmp_path_factory.mktemp("mobile")
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=SIDE,
        patch_size=8, id2label={0: "cat", 1: "dog", 2: "bird"}, label2id={"cat": 0, "dog": 1, "bird": 2},
    )  # fmt: skip
    ViTForImageClassification(config).save_pretrained(vit)
    told = {"image_processor_type": "ViTImageProcessor", "size": {"height": SIDE, "width": SIDE}}
    (vit / "preprocessor_config.json").write_text(json.dumps({**told, "image_mean": [0.4] * 3}))
    network = open_network(None, 0, 0.35)
    with torch.no_grad():  # running statistics of a batch: random weights alone end in zeros
        network.train()(pixel_values=torch.randn(8, 3, 64, 64))
    save_network(network, mobile)
    return {"vit": vit, "mobile": mobile}


def opened(path):
    return partial(open_backbone, path, None, 0)


def quiet(_):
    pass


@pytest.mark.parametrize("name", ["vit", "mobile"])
def test_low_rank_changes_begin_as_none_and_merge_into_ordinary_weights(backbones, name):
    backbone = open_backbone(backbones[name], None, 0)
    backbone.module.train(False)
    views = torch.rand(2, 3, SIDE, SIDE) * 2 - 1
    before = backbone.module(pixel_values=views).logits
    names = set(backbone.module.state_dict())
    apply(Method("lora", rank=2), backbone)
    assert torch.equal(backbone.module(pixel_values=views).logits, before)
    ups = [each for key, each in backbone.module.named_parameters() if key.endswith(".up")]
    assert ups and all(each.requires_grad for each in ups)
    with torch.no_grad():
        for each in ups:
            each.normal_(std=0.3)
    changed = backbone.module(pixel_values=views).logits
    assert not torch.allclose(changed, before, atol=0)
    merged = copy.deepcopy(backbone.module)
    lora.merge(merged)
    assert set(merged.state_dict()) == names
    assert torch.equal(backbone.module(pixel_values=views).logits, changed), "the copy alone was merged"
    assert torch.allclose(merged(pixel_values=views).logits, changed, rtol=1e-3, atol=1e-5)


def test_a_network_without_a_fitting_layer_is_refused():
    with pytest.raises(ValueError, match="no linear layer"):
        lora.add(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3)), 2, 4.0, spare="")


def test_only_what_the_method_says_is_trained(backbones, scenes):
    """Weights outside of it, running statistics included, stay bit for bit."""
    start = opened(backbones["mobile"])
    counts = {}
    for how in ("frozen", "lora", "full"):
        before = start()
        recipe = sized(TINY, before, SIDE)
        run = tune(start, scenes, replace(recipe, steps=1), Method(how, rank=2), 0, say=quiet)
        lora.merge(run.backbone.module)
        after = run.backbone.module.state_dict()
        old = before.module.state_dict()
        moved = {name for name, value in old.items() if not torch.equal(value, after[name])}
        head = {"classifier.weight", "classifier.bias"}
        assert head <= moved
        if how == "frozen":
            assert moved == head
        if how == "lora":
            assert all("convolution" in name for name in moved - head) and len(moved) > 10
        if how == "full":
            assert any("running_mean" in name for name in moved)
        counts[how] = trained(run.backbone.module)
    assert counts["frozen"] < counts["full"]


def test_a_head_for_other_labels_is_drawn_anew_and_ours_is_kept(backbones):
    vit = open_backbone(backbones["vit"], None, 3)
    assert vit.module.config.id2label == {0: "None", 1: "Roadwork"} and vit.layer.out_features == 2
    assert torch.equal(vit.layer.weight, open_backbone(backbones["vit"], None, 3).layer.weight)
    assert not torch.equal(vit.layer.weight, open_backbone(backbones["vit"], None, 4).layer.weight)
    first, second = (open_backbone(backbones["mobile"], None, seed).layer.weight for seed in (0, 1))
    assert torch.equal(first, second)
    with pytest.raises(CheckpointError, match="no such folder"):
        open_backbone(backbones["vit"] / "not-here", None, 0)


def test_what_is_saved_is_served_as_it_was_trained(backbones, scenes, tmp_path):
    start = opened(backbones["vit"])
    run = tune(start, scenes, sized(TINY, start(), None), Method("lora", rank=2), 0, say=quiet)
    save(run.backbone, tmp_path, {"temperature": 2.0, "threshold": 0.5}, half=False)
    images = [each.load() for each in scenes[:3]]
    tier = load_classifier(tmp_path)
    served = [each.log_odds for each in tier.evidence([tier.prepare(image) for image in images])]
    assert np.allclose(served, judge_of(run.backbone)(images) / 2, atol=1e-4)


def test_an_interrupted_low_rank_training_goes_on_to_the_same_answers(backbones, scenes, tmp_path):
    start = opened(backbones["vit"])
    recipe, method = sized(TINY, start(), None), Method("lora", rank=2)
    images = [each.load() for each in scenes[:3]]
    whole = judge_of(tune(start, scenes, recipe, method, 0, say=quiet).backbone)(images)

    def breaks(step, backbone):
        raise KeyboardInterrupt

    keep = Keep(tmp_path, every_s=0)
    with pytest.raises(KeyboardInterrupt):
        tune(start, scenes, recipe, method, 0, say=quiet, keep=keep, watch=breaks)
    again = tune(start, scenes, recipe, method, 0, say=quiet, keep=keep)
    assert np.allclose(judge_of(again.backbone)(images), whole, atol=1e-5)


def test_the_command_leaves_a_calibrated_checkpoint_with_its_record(backbones, folder, tmp_path):
    out = tmp_path / "out"
    flags = ["--recipe", "frozen", "--backbone", backbones["vit"], "--data", folder, "--out", out]
    flags += ["--steps", "2", "--batch", "4", "--folds", "2", "--threads", "1"]
    assert main([*map(str, flags)]) == 0
    record = json.loads((out / "training.json").read_text())
    assert record["method"]["how"] == "frozen" and record["cross_fit"]["out_of_fold"][0]["count"] == 24
    assert json.loads((out / "calibration.json").read_text()) == record["calibration"]
    assert load_classifier(out).head.labels == ("None", "Roadwork")
    card = (out / "README.md").read_text()
    assert "linear head" in card and record["command"] in card and "Out of fold" in card
    assert not (tmp_path / "out.unfinished").exists()


def test_a_set_that_is_only_for_testing_is_not_trained_on(folder, tmp_path, capsys):
    rows = [f"{each.path},{each.label},s,{n},val" for n, each in enumerate(read(folder))]
    (tmp_path / "manifest.csv").write_text("\n".join(["file,label,source,sequence,split", *rows]))
    assert main(["--recipe", "lora", "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "nothing is trained" in (told := capsys.readouterr().err) and "splits: val" in told


def test_sources_that_the_recipe_does_not_name_are_drawn_as_often_as_the_others():
    assert shared(Recipe(), ["mi3", "fatima"]) == Recipe()
    assert shared(Recipe(), ["mi3", "fatima", "mine"]).none_shares == {}


def test_mistakes_are_told_in_a_sentence(folder, tmp_path, capsys):
    flags = ["--recipe", "lora", "--data", str(folder), "--out", str(tmp_path / "out")]
    assert main([*flags, "--backbone", str(tmp_path / "none")]) == 1
    assert "no such folder" in capsys.readouterr().err
    for half in (["--distil", "kd"], ["--teacher", "drawn"]):
        assert main([*flags, *half]) == 1
        assert "go together" in capsys.readouterr().err


def test_a_timm_checkpoint_is_served_the_whole_image(tmp_path):
    config = {"architecture": "vit_tiny", "pretrained_cfg": {"input_size": [3, 224, 224], "crop_pct": 0.9}}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    _square_timm(path)
    told = json.loads(path.read_text())["pretrained_cfg"]
    assert told == {"input_size": [3, 224, 224], "crop_pct": 1.0, "crop_mode": "squash"}

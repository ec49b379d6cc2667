import json
import math
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers import (
    ConvNextConfig,
    ConvNextForImageClassification,
    MobileNetV2Config,
    MobileNetV2ForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)

from models.calibration import sigmoid
from models.checkpoint import CheckpointError, find_head, locate
from models.classifier import load_classifier, resolve_device
from models.core import Tier

SIDE = 32
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def mobilenet(**options):
    return MobileNetV2ForImageClassification(
        MobileNetV2Config(depth_multiplier=0.35, image_size=SIDE, **options)
    )


def vit(**options):
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    return ViTForImageClassification(ViTConfig(image_size=SIDE, patch_size=8, **small, **options))


def convnext(**options):
    sizes = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
    return ConvNextForImageClassification(ConvNextConfig(image_size=SIDE, **sizes, **options))


BUILDERS = [(mobilenet, "MobileNetV2"), (vit, "ViT"), (convnext, "ConvNext")]
ROADWORK = ("None", "Roadwork")


def named(labels):
    return {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
    }


def save(folder, build=vit, processor="ViT", labels=ROADWORK, **options):
    """A tiny checkpoint as transformers writes it, with random weights."""
    torch.manual_seed(3)
    model = build(**named(labels), **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)  # logits far enough from zero to tell classes apart
    model.save_pretrained(folder)
    size = {"shortest_edge": SIDE} if processor == "ConvNext" else {"height": SIDE, "width": SIDE}
    config = {"image_processor_type": f"{processor}ImageProcessor", "size": size}
    if processor == "MobileNetV2":
        config["do_center_crop"] = False
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    return model.eval()


def pictures(count=3):
    random = np.random.default_rng(5)
    return [Image.fromarray(random.integers(0, 256, (40, 50, 3), dtype=np.uint8)) for _ in range(count)]


def judge(tier, images):
    return tier.evidence([tier.prepare(image) for image in images])


def raw(model, tier, images):
    with torch.inference_mode():
        return model(torch.from_numpy(np.stack([tier.prepare(image) for image in images]))).logits.double()


# architectures and heads


@pytest.mark.parametrize("build, processor", BUILDERS)
def test_any_architecture_becomes_a_tier(tmp_path, build, processor):
    model = save(tmp_path, build, processor)
    tier: Tier = load_classifier(tmp_path)
    logits = raw(model, tier, pictures())
    for item, (none, roadwork) in zip(judge(tier, pictures()), logits.tolist(), strict=True):
        assert item.log_odds == pytest.approx(roadwork - none, abs=1e-4)
        assert (item.tier, item.version) == (tier.name, tier.version)
        assert item.cost_ms > 0
    assert tier.device == "cpu" and tier.side >= SIDE


@pytest.mark.parametrize("build, processor", BUILDERS)
def test_an_answer_does_not_depend_on_the_batch(tmp_path, build, processor):
    save(tmp_path, build, processor)
    tier = load_classifier(tmp_path)
    together = [item.log_odds for item in judge(tier, pictures(4))]
    alone = [judge(tier, [image])[0].log_odds for image in pictures(4)]
    assert together == pytest.approx(alone, abs=1e-4)
    assert len(set(together)) == 4


@pytest.mark.parametrize("labels", [("Roadwork", "None"), ("None", "Roadwork")])
def test_the_positive_class_is_found_by_name_not_by_position(tmp_path, labels):
    model = save(tmp_path, labels=labels)
    tier = load_classifier(tmp_path, label="ROADWORK")
    chances = raw(model, tier, pictures()).softmax(1)[:, labels.index("Roadwork")].tolist()
    assert [sigmoid(item.log_odds) for item in judge(tier, pictures())] == pytest.approx(chances, abs=1e-5)


def test_many_classes_weigh_one_against_the_rest(tmp_path):
    model = save(tmp_path, labels=("car", "works", "tree", "sky", "sign"))
    tier = load_classifier(tmp_path, label="works")
    chances = raw(model, tier, pictures()).softmax(1)[:, 1].tolist()
    assert [sigmoid(item.log_odds) for item in judge(tier, pictures())] == pytest.approx(chances, abs=1e-5)


def test_a_single_logit_is_a_log_odds_itself(tmp_path):
    model = save(tmp_path, labels=("Roadwork",))
    tier = load_classifier(tmp_path)
    assert tier.head.kind == "sigmoid"
    expected = raw(model, tier, pictures())[:, 0].tolist()
    assert [item.log_odds for item in judge(tier, pictures())] == pytest.approx(expected, abs=1e-5)


def test_independent_labels_are_not_weighed_against_each_other(tmp_path):
    model = save(tmp_path, labels=("cone", "Roadwork", "rain"), problem_type="multi_label_classification")
    tier = load_classifier(tmp_path)
    expected = raw(model, tier, pictures())[:, 1].tolist()
    assert [item.log_odds for item in judge(tier, pictures())] == pytest.approx(expected, abs=1e-5)


@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=6))
def test_huge_logits_give_finite_log_odds(logits):
    labels = {index: f"class {index}" for index in range(len(logits))}
    found = find_head(labels, "class 0").log_odds(torch.tensor([logits], dtype=torch.float64)).item()
    assert math.isfinite(found)
    assert found == pytest.approx(logits[0] - max(logits[1:]), abs=math.log(5) + 1e-6)


def test_an_unknown_label_lists_the_known_ones(tmp_path):
    save(tmp_path, labels=("LABEL_0", "LABEL_1"))
    with pytest.raises(CheckpointError, match=r"'Roadwork'.*LABEL_0, LABEL_1"):
        load_classifier(tmp_path)


def test_an_ambiguous_label_and_a_long_list_are_told():
    with pytest.raises(CheckpointError, match="more than one"):
        find_head({0: "works", 1: "Works"}, "works")
    with pytest.raises(CheckpointError, match="and 80 more"):
        find_head({index: f"class {index}" for index in range(100)}, "works")


# calibration and version


def test_the_best_threshold_is_moved_to_one_half(tmp_path):
    save(tmp_path)
    plain = judge(load_classifier(tmp_path), pictures())
    best = sigmoid(plain[0].log_odds)
    moved = judge(load_classifier(tmp_path, threshold=best, temperature=2.0), pictures())
    assert moved[0].log_odds == pytest.approx(0, abs=1e-5)
    assert moved[1].log_odds == pytest.approx((plain[1].log_odds - plain[0].log_odds) / 2, abs=1e-5)


def test_a_calibration_file_counts_and_arguments_win(tmp_path):
    save(tmp_path)
    (tmp_path / "calibration.json").write_text('{"temperature": 3.0, "threshold": 0.7}')
    found = load_classifier(tmp_path).calibration
    assert (found.temperature, found.threshold) == (3.0, 0.7)
    found = load_classifier(tmp_path, temperature=1.0).calibration
    assert (found.temperature, found.threshold) == (1.0, 0.7)


def test_the_version_changes_with_anything_that_changes_answers(tmp_path):
    save(tmp_path)
    seen = [load_classifier(tmp_path).version, load_classifier(tmp_path, temperature=2).version]
    seen.append(load_classifier(tmp_path, label="None").version)
    (tmp_path / "calibration.json").write_text('{"threshold": 0.6}')
    seen.append(load_classifier(tmp_path).version)
    config = tmp_path / "preprocessor_config.json"
    config.write_text(config.read_text().replace("ViT", "Siglip"))
    seen.append(load_classifier(tmp_path).version)
    weights = tmp_path / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    seen.append(load_classifier(tmp_path).version)
    assert len(set(seen)) == len(seen)
    assert load_classifier(tmp_path).version == seen[-1]


# what must be refused


def test_a_logit_that_is_not_finite_is_an_error_that_names_the_item(tmp_path):
    save(tmp_path)
    tier = load_classifier(tmp_path)
    good, bad = (tier.prepare(image) for image in pictures(2))
    bad[0, 0, 0] = np.nan
    with pytest.raises(ArithmeticError, match="item 1 of 2"):
        tier.evidence([good, bad])
    assert len(tier.evidence([good])) == 1


def test_weights_that_are_not_finite_are_refused_at_load(tmp_path):
    model = save(tmp_path)
    model.classifier.weight.data.fill_(math.nan)
    model.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="not finite"):
        load_classifier(tmp_path)


def test_only_safetensors_are_read(tmp_path):
    model = save(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="safetensors"):
        load_classifier(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_a_missing_file_is_named(tmp_path, name):
    save(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        load_classifier(tmp_path)


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("config.json", '{"model_type": "no such model"}', "config.json"),
        ("preprocessor_config.json", '{"image_processor_type": "OddImageProcessor"}', "OddImageProcessor"),
        ("calibration.json", '{"temperature": -1}', "temperature"),
        ("model.safetensors", "not weights", "does not load"),
    ],
)
def test_a_broken_file_is_told_in_a_sentence(tmp_path, name, content, said):
    save(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(CheckpointError, match=said):
        load_classifier(tmp_path)


def test_missing_weights_are_refused_instead_of_invented(tmp_path):
    """transformers fills what is missing with random numbers and a warning."""
    from safetensors.torch import load_file, save_file

    save(tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    del weights["classifier.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"classifier\.weight"):
        load_classifier(tmp_path)


def test_a_preprocessor_of_the_wrong_size_is_refused_at_load(tmp_path):
    save(tmp_path)
    config = tmp_path / "preprocessor_config.json"
    config.write_text(config.read_text().replace(str(SIDE), "48"))
    with pytest.raises(CheckpointError, match="cannot judge"):
        load_classifier(tmp_path)


# where it comes from, and where it runs


@pytest.mark.parametrize("revision", [None, "main", "v1.0", COMMIT[:10]])
def test_a_hub_id_needs_its_commit(revision):
    with pytest.raises(CheckpointError, match="pin it by its commit"):
        load_classifier("someone/roadwork", revision=revision)


@pytest.mark.parametrize("path", ["no-such-folder", "./no/such", "/no/such/folder", "a/b/c"])
def test_a_missing_folder_is_told(path):
    with pytest.raises(CheckpointError, match="no such folder"):
        locate(path, COMMIT)


def test_a_hub_checkpoint_comes_from_the_cache_without_the_hub(tmp_path, monkeypatch):
    snapshot = tmp_path / "models--someone--roadwork" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    save(snapshot)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert load_classifier("someone/roadwork", revision=COMMIT).version == load_classifier(snapshot).version


def test_a_hub_that_cannot_be_reached_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="cannot be fetched"):
        locate("someone/roadwork", COMMIT)


def test_devices_are_resolved_or_refused_with_the_nearest_choice(monkeypatch):
    assert resolve_device("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == "cpu"
    with pytest.raises(CheckpointError, match="0 GPUs; cpu would work"):
        resolve_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [resolve_device(name) for name in ("auto", "cuda", "cuda:1")] == ["cuda:0", "cuda:0", "cuda:1"]
    with pytest.raises(CheckpointError, match="cuda:1 would work"):
        resolve_device("cuda:2")
    with pytest.raises(CheckpointError, match="'gpu'"):
        resolve_device("gpu")


def test_real_weights_tell_real_classes_apart():
    folder = Path(__file__).parents[2].parent / "shared" / "weights"
    if not folder.is_dir():
        pytest.skip("NOT TESTED: no ImageNet weights in ../shared/weights")
    tier = load_classifier(folder, label="background")
    assert len(tier.head.labels) == 1001 and tier.side == 224
    assert math.isfinite(judge(tier, pictures(1))[0].log_odds)


def test_light_modules_stay_light():
    """What the front and the state machine import must not pull the heavy libraries in."""
    import subprocess
    import sys

    names = ", ".join(
        f"models.{name}" for name in ("core", "cascade", "calibration", "fusion", "imaging.header")
    )
    code = (
        f"import sys, {names}; print(sorted({{'torch', 'transformers', 'PIL', 'numpy'}} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"

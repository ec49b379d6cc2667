"""What is remembered of labelled images, and that it can be forgotten."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    ConvNextConfig,
    ConvNextForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)

from models import memory
from models.classifier import load_classifier
from models.memory import MOST, MemoryDamaged, Shelf, blank, refer
from models.recall import LABEL, NOVELTY, TRUST

WIDTH = 128


def usual(count=200, seed=0):
    return np.random.default_rng(seed).normal(0, 1, (count, WIDTH)).astype(np.float32)


def filled(count=5, seed=1):
    found = blank("space", refer(usual()))
    for number, row in enumerate(usual(count, seed)):
        found = found.remember(f"key{number}", number % 2 == 0, row)
    return found


def test_a_copy_is_recalled_with_its_label_and_a_stranger_is_not():
    kept = filled()
    copy, stranger = kept.features(np.stack([usual(5, 1)[1], -usual(5, 1)[1]]))
    assert copy[LABEL] == pytest.approx(-1, abs=0.05)
    assert copy[TRUST] == pytest.approx(2 / 3, abs=0.05)
    assert TRUST not in stranger


def test_trust_falls_with_the_distance():
    kept, origin, off = filled(1), usual(1, 1)[0], usual(1, 2)[0]
    steps = np.stack([origin + part * off for part in np.linspace(0, 0.6, 12)])
    trusts = [told.get(TRUST, 0.0) for told in kept.features(steps)]
    assert trusts == sorted(trusts, reverse=True)
    assert trusts[0] > trusts[-1]


def test_relabelling_replaces_and_forgetting_removes_one_alone():
    kept = filled().remember("key1", True, usual(5, 1)[1])
    assert len(kept) == 5
    assert kept.features(usual(5, 1)[1:2])[0][LABEL] > 0
    less = kept.without("key1")
    assert less.keys == ("key0", "key2", "key3", "key4")
    assert TRUST not in less.features(usual(5, 1)[1:2])[0]
    assert less.without("nobody") is less


def test_the_oldest_are_forgotten_beyond_the_bound():
    kept = blank("space", refer(usual()))
    for number, row in enumerate(usual(9, 3)):
        kept = kept.remember(str(number), True, row, most=4)
    assert kept.keys == ("5", "6", "7", "8")
    assert len(kept.vectors) == len(kept.roadwork) == 4 < MOST


def test_images_unlike_the_reference_are_novel():
    found = blank("space", refer(usual())).features(np.concatenate([usual(50, 7), 3 * usual(50, 8)]))
    values = np.array([told[NOVELTY] for told in found])
    assert values[:50].mean() == pytest.approx(1, abs=0.2)
    assert values[50:].mean() > 5


def test_what_is_written_is_read_again_and_old_tensors_go(tmp_path):
    memory.write(tmp_path, filled(3))
    memory.write(tmp_path, filled(5))
    assert len(list(tmp_path.iterdir())) == 2
    again = memory.read(tmp_path)
    assert again.keys == filled().keys
    assert again.features(usual(5, 1))[2][LABEL] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("harm", ["missing", "json", "tensors", "length"])
def test_a_damaged_memory_is_named(tmp_path, harm):
    memory.write(tmp_path, filled())
    file, tensors = tmp_path / memory.FILE, next(tmp_path.glob("*.safetensors"))
    if harm == "missing":
        tensors.unlink()
    elif harm == "json":
        file.write_text("[]")
    elif harm == "tensors":
        tensors.write_bytes(tensors.read_bytes()[:-40])
    else:
        file.write_text(json.dumps({**json.loads(file.read_text()), "keys": ["one"]}))
    with pytest.raises(MemoryDamaged, match="holds no memory"):
        memory.read(tmp_path)


def test_a_shelf_follows_the_file_and_refuses_another_models_memory(tmp_path):
    told = []
    shelf, other = Shelf(tmp_path, "space", told.append), Shelf(tmp_path, "elsewhere", told.append)
    assert shelf.memory() is None
    memory.write(tmp_path, filled(2))
    assert len(shelf.memory()) == 2
    memory.write(tmp_path, filled(4))
    assert len(shelf.memory()) == 4
    assert told == []
    assert other.memory() is None
    assert other.memory() is None
    assert len(told) == 1
    (tmp_path / memory.FILE).unlink()
    assert shelf.memory() is None


def checkpoint(folder, build):
    torch.manual_seed(1)
    labels = {"id2label": {0: "None", 1: "Roadwork"}, "label2id": {"None": 0, "Roadwork": 1}}
    if build == "convnext":
        sizes = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
        model = ConvNextForImageClassification(ConvNextConfig(image_size=32, **sizes, **labels))
    else:
        small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
        model = ViTForImageClassification(ViTConfig(image_size=32, patch_size=8, **small, **labels))
    model.save_pretrained(folder)
    config = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("build", ["convnext", "vit"])
def test_a_serving_classifier_recalls_what_was_labelled_meanwhile(tmp_path, build):
    folder, shelf = checkpoint(tmp_path / "model", build), tmp_path / "memory"
    tier = load_classifier(folder, memory=shelf)
    random = np.random.default_rng(4)
    shown = [tier.prepare(Image.fromarray(random.integers(0, 256, (40, 40, 3), np.uint8))) for _ in range(6)]
    before = tier.evidence(shown)
    assert all(TRUST not in each.features for each in before)
    embedder = tier.embed()
    tier.logits(shown)
    embeddings = embedder.take().numpy()
    kept = blank(embedder.space, refer(embeddings)).remember("one", True, embeddings[2])
    memory.write(shelf, kept)
    after = tier.evidence(shown)
    assert after[2].features[LABEL] == 1
    assert [each.log_odds for each in after] == pytest.approx([each.log_odds for each in before])


def test_the_space_is_that_of_the_backbone_not_of_the_head(tmp_path):
    tier = load_classifier(checkpoint(tmp_path / "model", "vit"))
    space = tier.embed().space
    other = load_classifier(tmp_path / "model", temperature=2.0)
    with torch.no_grad():
        other._model.classifier.weight.mul_(2)
    assert other.embed().space == space
    third = load_classifier(tmp_path / "model")
    with torch.no_grad():
        next(third._model.vit.parameters()).add_(1)
    assert third.embed().space != space

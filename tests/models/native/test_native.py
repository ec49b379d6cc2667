"""Networks written out here are transformers', bit for bit; and the embedded cascade starts without it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

from models.native import mobilenet
from models.vlm.small.network import Shape, SmallNetwork

torch.set_num_threads(1)
LABELS = {0: "None", 1: "Roadwork"}


def checkpoint(folder, **options):
    """A small network whose statistics are not those of its first day."""
    torch.manual_seed(3)
    config = MobileNetV2Config(**{"depth_multiplier": 0.35, "id2label": LABELS, **options})
    network = MobileNetV2ForImageClassification(config)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2.0)
    network.half().save_pretrained(folder)
    return MobileNetV2ForImageClassification.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.mark.parametrize("tf_padding", [True, False])
@pytest.mark.parametrize("size", [(64, 96), (51, 77)])
def test_a_mobilenet_says_the_same_as_transformers(tmp_path, tf_padding, size):
    theirs = checkpoint(tmp_path, tf_padding=tf_padding, layer_norm_eps=0.01)
    config = mobilenet.read(tmp_path)
    assert config is not None
    ours = mobilenet.load(tmp_path, config)
    pixels = (torch.rand(3, 3, *size) * 2 - 1).contiguous(memory_format=torch.channels_last)
    for network in (theirs, ours):
        network.to(memory_format=torch.channels_last)
    with torch.inference_mode():
        torch.testing.assert_close(ours(pixel_values=pixels).logits, theirs(pixel_values=pixels).logits)
        maps = [each.mobilenet_v2(pixel_values=pixels).last_hidden_state for each in (ours, theirs)]
    torch.testing.assert_close(*maps)
    assert list(ours.state_dict()) == list(theirs.state_dict())  # memories are told apart by it


@pytest.mark.parametrize(
    "change",
    [{"output_stride": 16}, {"hidden_act": "relu"}, {"model_type": "mobilenet_v1"}, {"id2label": None}],
)
def test_what_is_not_written_out_goes_to_transformers(tmp_path, change):
    told = MobileNetV2Config(id2label=LABELS).to_dict()
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_text(json.dumps(told))
    assert mobilenet.read(tmp_path) is not None
    (tmp_path / "config.json").write_text(json.dumps(told | change))
    assert mobilenet.read(tmp_path) is None


def test_the_small_vlm_says_the_same_on_either_decoder():
    torch.manual_seed(3)
    shape = Shape(features=16, grid=2, width=32, inner=64, layers=2, heads=2)
    ours = SmallNetwork(shape, native=True).eval()
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.5)
    theirs = SmallNetwork(shape).eval()
    theirs.load_state_dict(ours.state_dict())
    maps, present = torch.rand(2, 3, 16, 2, 2), torch.tensor([[True, True, False], [True, True, True]])
    answers = torch.randint(0, 9, (2, 4))
    with torch.inference_mode():
        torch.testing.assert_close(ours(maps, present, answers), theirs(maps, present, answers))
        said = ours.speak(maps, present)
    assert said == theirs.speak(maps, present) and max(map(len, said)) > 1
    with torch.inference_mode():
        before = ours(maps, present, answers)
        torch.testing.assert_close(ours.complete()(maps, present, answers), before)


def test_the_embedded_cascade_loads_without_transformers():
    code = """
import json, sys
sys.modules["transformers"] = None  # whoever imports it fails
from miner.engine import tiers
from models.weights import CASCADE
from pathlib import Path
specs = json.loads((Path(CASCADE) / "cascade.json").read_text())["tiers"]
print([tier.name for tier in tiers.build_all(specs, "cpu")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "['classifier', 'ensemble', 'regions', 'small_vlm']", done.stderr

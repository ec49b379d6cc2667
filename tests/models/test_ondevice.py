"""Pictures resized where the model runs: the same as Pillow's to rounding, and refused where it cannot be.

The kernel itself is held against its reference in `tests/models/kernels`; here the reference stands for it.
"""

from __future__ import annotations

import json
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification

from models import ondevice
from models.checkpoint import CheckpointError
from models.classifier import load_classifier


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny ViT whose pictures are cropped."""
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = ViTConfig(image_size=16, patch_size=8, **shape)
    config.id2label = {0: "None", 1: "Roadwork"}
    found = tmp_path_factory.mktemp("vit")
    ViTForImageClassification(config).save_pretrained(found)
    about = {"image_processor_type": "CLIPImageProcessor", "size": 20, "crop_size": 16}
    (found / "preprocessor_config.json").write_text(json.dumps(about))
    return found


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed: there is no kernel")
def test_what_the_device_prepares_is_what_pillow_prepares(folder, monkeypatch):
    from models.kernels import resize

    monkeypatch.setattr(ondevice.kernels, "missing", lambda device: None)
    monkeypatch.setattr(resize, "resize", resize.reference)
    rng = np.random.default_rng(0)
    coarse = [Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)) for _ in range(2)]
    sizes = ((40, 30), (20, 26))
    pictures = [each.resize(size, Image.Resampling.BICUBIC) for each, size in zip(coarse, sizes, strict=True)]
    host, device = (load_classifier(folder, resize=where) for where in ("host", "device"))
    shown, held = ([tier.prepare(picture) for picture in pictures] for tier in (host, device))
    apart = np.abs(np.stack(shown) - device._on_device(held).numpy()).max()
    assert apart < 2 / 255 / 0.26  # two levels of 256, normalised
    for ours, theirs in zip(device.evidence(held), host.evidence(shown), strict=True):
        assert ours.log_odds == pytest.approx(theirs.log_odds, abs=0.02)
        assert ours.version == theirs.version + "@device"
    with pytest.raises(CheckpointError, match="only whole pictures"):
        load_classifier(folder, resize="device", views=["left"])


def test_without_a_device_that_can_it_is_refused(folder, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(CheckpointError, match="cannot be resized on the device: Triton runs on CUDA"):
        load_classifier(folder, resize="device")
    with pytest.raises(CheckpointError, match="resize is host or device, not 'gpu'"):
        load_classifier(folder, resize="gpu")

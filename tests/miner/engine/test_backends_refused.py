"""A runtime that cannot be had is refused at the door, with the nearest that works."""

import pytest

from miner.engine import backends
from miner.engine.backends import impossible


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda:1"])
def test_what_chooses_for_itself_is_always_possible(device, monkeypatch):
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    monkeypatch.setattr(backends.shutil, "which", lambda name: None)
    assert impossible("auto", device) is None and impossible("torch", device) is None


@pytest.mark.parametrize(
    ("backend", "device", "installed", "gpu", "why"),
    [
        ("openvino", "auto", True, False, None),
        ("openvino", "auto", False, False, "pip install -e '.[cpu]'"),
        ("onnxruntime", "cuda:0", True, True, "is for CPUs"),
        ("graphs", "cuda", True, True, None),
        ("graphs", "auto", True, True, None),
        ("graphs", "auto", True, False, "no NVIDIA GPU"),
        ("graphs", "cpu", True, True, "image_detector_device is cpu"),
    ],
)
def test_a_runtime_is_refused_where_it_cannot_run(backend, device, installed, gpu, why, monkeypatch):
    monkeypatch.setattr(backends, "find_spec", lambda name: object() if installed else None)
    monkeypatch.setattr(backends.shutil, "which", lambda name: "/bin/nvidia-smi" if gpu else None)
    said = impossible(backend, device)
    if why is None:
        assert said is None
    else:
        assert why in said and "--engine.backend auto" in said

"""The checkpoint folder that comes of a run: the old one with another last layer or another calibration."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from models.calibration import Calibration
from models.checkpoint import CALIBRATION, CONFIG, PREPROCESSOR
from models.classifier import load_classifier
from models.learn.adaptation.head import Change
from models.learn.metrics import Floats

WEIGHTS = (".safetensors", ".safetensors.index.json")
TRAINED = "trained.json"
"""The keys of what it was trained on, for whoever compares it on labelled images."""


class NotAdaptable(ValueError):
    """The checkpoint's last layer cannot be written anew; the message says why."""


def copy(base: Path, out: Path) -> None:
    """The files of a checkpoint, into a folder that is made; remarks of its own stay behind."""
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(base.iterdir()):
        if path.name in (CONFIG, PREPROCESSOR, CALIBRATION) or path.name.endswith(WEIGHTS):
            shutil.copyfile(path, out / path.name)


def write_calibration(out: Path, calibration: Calibration) -> None:
    content = {"temperature": calibration.temperature, "threshold": calibration.threshold}
    (out / CALIBRATION).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_trained(out: Path, keys: Sequence[str]) -> None:
    (out / TRAINED).write_text(json.dumps(sorted(keys)) + "\n", encoding="utf-8")


def write_head(out: Path, change: Change) -> None:
    """Add a change of the calibrated log-odds to the positive class's row of the last layer. Exact for two
    labels and for independent ones, and for more as long as they exclude each other: the log-odds is that
    class's logit less the others' logsumexp. Raises NotAdaptable."""
    tier = load_classifier(out)
    name, row = tier.embed().name, tier.head.positive
    scale = tier.calibration.temperature
    path = _holder(out, f"{name}.weight")
    tensors = load_file(path)
    tensors[f"{name}.weight"] = _added(tensors[f"{name}.weight"], row, change.weights * scale)
    tensors[f"{name}.bias"] = _added(tensors[f"{name}.bias"], row, np.asarray(change.offset * scale))
    save_file(tensors, path, {"format": "pt"})


def _added(tensor: np.ndarray, row: int, more: Floats) -> np.ndarray:
    """In single precision: half of it would round a small change away."""
    found = tensor.astype(np.float32)
    found[row] += more.astype(np.float32)
    return found


def _holder(folder: Path, tensor: str) -> Path:
    from safetensors import safe_open

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="np") as file:
            names = set(file.keys())
        if {tensor, f"{tensor.removesuffix('weight')}bias"} <= names:
            return path
    raise NotAdaptable(
        f"no file of {folder.name} has {tensor} with a bias: its last layer cannot be rewritten"
    )

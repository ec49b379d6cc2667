"""Which runtime a cascade's classifiers run on, said in their specs."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from models.description import Description

TORCH, GRAPHS = "torch", "graphs"
RUNTIMES = ("onnxruntime", "openvino")
"""Those of `models.backends.runtimes`, which would bring torch along."""
KINDS = ("classifier", "ensemble")
FOLDER = "backends"
"""Of the data folder: exported models, and what was found out about this machine."""


def on_backend(described: Description, backend: str, data: Path, *, later: bool = False) -> Description:
    """`described`, its classifiers told to choose a runtime; `backend` torch leaves it as it is. `later`:
    not before they answer, which is for whoever starts; a candidate is timed beside the champion."""
    if backend == TORCH:
        return described
    more = {"backend": backend, "backends": str(data / FOLDER), "later": later}
    tiers = tuple({**spec, **more} if spec["kind"] in KINDS else spec for spec in described.tiers)
    return replace(described, tiers=tiers)


def impossible(backend: str, device: str) -> str | None:
    """Why no classifier can run on `backend` where models run on `device` (neuron.image_detector_device), in
    a sentence; None when it may. Looks at what is installed, not at what works."""
    asked = f"engine.backend is {backend}"
    nearest = "--engine.backend auto takes the fastest that there is"
    if backend in RUNTIMES and device.startswith("cuda"):
        return f"{asked}, which is for CPUs, and neuron.image_detector_device is {device}: {nearest}"
    if backend in RUNTIMES and find_spec(backend) is None:
        install = "pip install -e '.[cpu]' -c constraints.txt"
        return f"{asked}, which is not installed in {sys.prefix}: {install}; or {nearest}"
    if backend == GRAPHS and device == "cpu":
        return f"{asked} (CUDA graphs), and neuron.image_detector_device is cpu: {nearest}"
    if backend == GRAPHS and not device.startswith("cuda") and shutil.which("nvidia-smi") is None:
        return f"{asked} (CUDA graphs), and no NVIDIA GPU is to be seen (no nvidia-smi): {nearest}"
    return None

"""Kernels in Triton, each with its reference in PyTorch: one source for a GPU and, interpreted, for a CPU.

nvfp4       packs and unpacks NVFP4, bit for bit as `models.compress.caches.e2m1` does
packed      attention of few queries over keys and values that stay packed
multiview   attention in which views do not see each other, and all share the text
entropy     entropy in bits of the histogram of each cell of a picture, for adaptive patches
resize      resizes, crops and normalises a decoded picture in one pass, for classifiers (`models.ondevice`)

Importing this package costs nothing and does not need Triton; importing a module of it does. `missing` says
whether kernels can run on a device. `python -m models.kernels` compares all of them with their references on
this machine (with TRITON_INTERPRET=1 on a CPU), and compiles them for GPUs that are not there.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

__all__ = ["interpreted", "missing"]


def interpreted() -> bool:
    """Whether Triton runs kernels in its interpreter: decided by the environment before they are imported."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def missing(device: str) -> str | None:
    """Why kernels cannot run on a device ("cuda", "cpu", as torch names its type); None when they can."""
    if device != "cuda" and not interpreted():
        return f"Triton runs on CUDA, not on {device}, except in its interpreter (TRITON_INTERPRET=1)"
    if find_spec("triton") is None:
        return "Triton is not installed (pip install triton)"
    return None

"""Checkpoints of timm (`config.json` with "architecture" and "pretrained_cfg"), behind the extra `timm`.

timm pulls torchvision, whose wheel often does not match a CPU build of torch: it is no dependency, and its
absence, or a pair that does not fit, is told in a sentence. Preprocessing is ours.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from models.preprocess import Preprocess, build

_FILTERS = {"bilinear": 2, "bicubic": 3, "nearest": 0, "lanczos": 1, "box": 4, "hamming": 5}


def read_config(folder: Path) -> dict[str, Any] | None:
    """`config.json` if it is timm's, else None."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    ours = isinstance(config, dict) and (
        "architecture" in config or config.get("model_type") == "timm_wrapper"
    )
    return config if ours else None


def require() -> None:
    """Raises ValueError with what to install when timm cannot be imported."""
    try:
        import_module("timm")
    except (ImportError, RuntimeError) as error:
        raise ValueError(
            "this is a timm checkpoint: pip install 'streetvision-miner[timm]', together with a torchvision "
            f"built for this torch, or export it for transformers ({error})"
        ) from error


def preprocess(config: Mapping[str, Any]) -> Preprocess:
    """From `pretrained_cfg`: shorter edge to input / crop_pct, centre crop. Raises ValueError."""
    told = config.get("pretrained_cfg")
    if not isinstance(told, Mapping) or "input_size" not in told:
        raise ValueError("config.json of a timm checkpoint needs pretrained_cfg with input_size")
    _, height, width = (int(edge) for edge in told["input_size"])
    mode = told.get("crop_mode", "center")
    if mode not in ("center", "squash"):
        raise ValueError(f"crop_mode {mode} is not supported: it is center or squash")
    interpolation = told.get("interpolation", "bilinear")
    if interpolation not in _FILTERS:
        raise ValueError(f"interpolation {interpolation} is not supported: {', '.join(_FILTERS)}")
    return build(
        {
            "image_processor_type": "BitImageProcessor",
            "size": _size(height, width, float(told.get("crop_pct", 0.875)), mode),
            "crop_size": {"height": height, "width": width},
            "resample": _FILTERS[interpolation],
            "image_mean": list(told.get("mean", (0.485, 0.456, 0.406))),
            "image_std": list(told.get("std", (0.229, 0.224, 0.225))),
        }
    )


def _size(height: int, width: int, crop_pct: float, mode: str) -> dict[str, int]:
    if not 0 < crop_pct <= 1:
        raise ValueError(f"crop_pct must lie in (0, 1], not {crop_pct}")
    tall, wide = math.floor(height / crop_pct), math.floor(width / crop_pct)
    if mode == "squash" or tall != wide:
        return {"height": tall, "width": wide}
    return {"shortest_edge": tall}

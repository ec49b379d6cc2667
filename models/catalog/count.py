"""Counts parameters on the meta device: from the committed config, without a byte of weights.

Imports torch and transformers, so import it only where that may cost seconds (the tests, `docs`).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

CONFIGS = Path(__file__).parent / "configs"
VISION = re.compile(r"(^|\.)(visual|vision_tower|vision_model|vision_embed_tokens|image_embed)\.")
EXPERT = re.compile(r"\.experts\.")
LAYER = re.compile(r"\.layers\.\d+\.")


@dataclass(frozen=True, slots=True)
class Count:
    """Parameters: `total`; `active` per token (routed experts by their share); `kept` outside the language
    layers' matrices, which quantised checkpoints leave in bf16; `vision` in the vision tower; `whole`:
    nothing of the model is missing."""

    total: int
    active: int
    kept: int
    vision: int
    whole: bool


def excerpt(name: str) -> dict[str, Any]:
    """The committed config excerpt of a row. Raises FileNotFoundError when the row has none."""
    data: dict[str, Any] = json.loads((CONFIGS / f"{name}.json").read_text())
    return data


def count(name: str) -> Count:
    """Count a row's parameters from its excerpt. Raises ImportError where an architecture needs an extra."""
    data = excerpt(name)
    parts = [_tower(tower["architecture"], tower["config"]) for tower in data["towers"]]
    total, active, kept, seen = (sum(column) for column in zip(*parts, strict=True))
    return Count(total, active, kept, seen, data["whole"])


def _tower(architecture: str, config: dict[str, Any]) -> tuple[int, int, int, int]:
    kind = getattr(transformers, architecture)
    built = kind.config_class(**config)
    with torch.device("meta"):
        model = kind(built)
    sizes = {name: p.numel() for name, p in model.named_parameters()}  # a tied matrix is listed once
    total = sum(sizes.values())
    experts = _matching(sizes, EXPERT)
    seen = total if architecture.endswith("VisionModel") else _matching(sizes, VISION)
    return total, total - experts + round(experts * _share(built)), total - _language(model), seen


def _matching(sizes: dict[str, int], pattern: re.Pattern[str]) -> int:
    return sum(size for name, size in sizes.items() if pattern.search(name))


def _share(config: Any) -> float:
    """The share of the routed experts that a token passes through."""
    text = config.get_text_config()
    for name in ("num_local_experts", "num_experts", "n_routed_experts"):
        if number := getattr(text, name, None):
            return float(text.num_experts_per_tok) / float(number)
    return 1.0


def _language(model: torch.nn.Module) -> int:
    """Matrices of the language layers. A model without a language model has none."""
    if not hasattr(model, "lm_head") and not hasattr(model, "language_model"):
        return 0
    matrices = {name: p.numel() for name, p in model.named_parameters() if p.ndim > 1}
    return sum(size for name, size in matrices.items() if LAYER.search(name) and not VISION.search(name))

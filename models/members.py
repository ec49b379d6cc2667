"""Which kinds of members run in this process, and who loads them. A new kind is one line here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from models.core import Tier
from models.weights import DEFAULT

LOADERS: Mapping[str, tuple[str, str]] = {
    "classifier": ("models.classifier", "load_classifier"),
    "ensemble": ("models.ensemble", "load_ensemble"),
    "regions": ("models.regions", "load_regions"),
    "detector": ("models.detector", "load_detector"),
    "adaptive": ("models.compress.apt.member", "load_adaptive"),
    "zoom": ("models.zoom", "load_zoom"),
    "small_vlm": ("models.vlm.small", "load_small_vlm"),
    "vlm_inprocess": ("models.vlm.inprocess", "load_vlm"),
}
"""Kind -> module and function; imported when a member of the kind is loaded, since they import torch."""


def load(spec: Mapping[str, Any], device: str) -> Tier:
    """The member of a spec: {"kind", "path", ...the loader's keywords}; what is None is left out.

    Raises ValueError with a sentence for a kind that is not here, and for what its loader refuses.
    """
    kind = spec.get("kind", "")
    if kind not in LOADERS:
        raise ValueError(f"no member that runs here is called {kind!r}; there are: {', '.join(LOADERS)}")
    module, name = LOADERS[kind]
    options = {key: value for key, value in spec.items() if key not in ("kind", "path") and value is not None}
    path = spec.get("path") or (DEFAULT if kind == "classifier" else None)
    tier: Tier = getattr(import_module(module), name)(path, device=device, **options)
    return tier

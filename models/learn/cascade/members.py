"""The members of a cascade, loaded side by side in this process: to measure them, not to serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from models.core import Tier
from models.weights import DEFAULT

LOADERS: Mapping[str, tuple[str, str]] = {
    "classifier": ("models.classifier", "load_classifier"),
    "regions": ("models.regions", "load_regions"),
    "detector": ("models.detector", "load_detector"),
    "small_vlm": ("models.vlm.small", "load_small_vlm"),
}
"""Kinds that run in this process, and who loads them; servers' members are not measured here."""


def open_members(specs: Sequence[Mapping[str, Any]], device: str = "cpu") -> list[Tier]:
    """In the order they are asked. Raises ValueError for a kind that does not run in this process."""
    return [_open(spec, device) for spec in specs]


def _open(spec: Mapping[str, Any], device: str) -> Tier:
    kind = spec.get("kind", "")
    if kind not in LOADERS:
        raise ValueError(f"members of the kind {kind!r} cannot be measured here, only {', '.join(LOADERS)}")
    module, name = LOADERS[kind]
    options = {key: value for key, value in spec.items() if key not in ("kind", "path")}
    path = spec.get("path") or (DEFAULT if kind == "classifier" else None)
    tier: Tier = getattr(import_module(module), name)(path, device=device, **options)
    return tier

"""The members of a cascade's folder, loaded side by side in this process: to measure them, not to serve."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from models.core import Tier
from models.weights import DEFAULT

FILE = "cascade.json"
LOADERS: Mapping[str, tuple[str, str]] = {
    "classifier": ("models.classifier", "load_classifier"),
    "regions": ("models.regions", "load_regions"),
    "detector": ("models.detector", "load_detector"),
    "small_vlm": ("models.vlm.small", "load_small_vlm"),
    "zoom": ("models.zoom", "load_zoom"),
}
"""Kinds that run in this process, and who loads them; servers' members are not measured here."""


def describe(folder: Path) -> dict[str, Any]:
    """What `cascade.json` says. Raises ValueError when it is not there or says nothing of members."""
    try:
        found: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if not found["tiers"]:
            raise ValueError("it has no tiers")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / FILE} describes no cascade: {error}") from error
    return found


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

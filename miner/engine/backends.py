"""Which runtime a cascade's classifiers run on, said in their specs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from models.description import Description

TORCH = "torch"
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

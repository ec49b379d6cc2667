"""The episodic memory of all labelled images, minutes after their labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models import memory
from models.learn.adaptation.embed import Embedded
from models.memory import MOST, Memory, MemoryDamaged, Reference, refer

REFERENCES = 30
"""Labelled images below which nobody can tell what is usual: nothing is remembered yet."""


def remember(folder: Path, seen: Embedded, most: int = MOST) -> Memory | None:
    """Replace the memory in `folder` by the newest `most` true labels of `seen`, which is oldest first; None,
    and no memory, with too few. What is no longer labelled is forgotten."""
    gold = np.array([item.gold for item in seen.items], bool)
    kept = seen.pick(gold)
    reference = _reference(folder, kept)
    if reference is None:
        (folder / memory.FILE).unlink(missing_ok=True)
        return None
    vectors = reference.unit(kept.vectors[-most:])
    keys = tuple(item.key for item in kept.items)[-most:]
    found = Memory(seen.space, reference, keys, kept.roadwork[-most:], vectors)
    memory.write(folder, found)
    return found


def _reference(folder: Path, seen: Embedded) -> Reference | None:
    """The one that is there, as long as the space is the same: what is novel is novel by a fixed measure."""
    try:
        before = memory.read(folder)
    except MemoryDamaged:
        before = None
    if before is not None and before.space == seen.space:
        return before.reference
    return refer(seen.vectors) if len(seen.items) >= REFERENCES else None

"""What reading a scene took, from a member's evidence to a verdict's notes and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from models.core import Evidence

KEPT, STORED = "kept_tokens", "kv_bytes"


def notes(evidence: Iterable[Evidence]) -> list[str]:
    """Of members that tell: "kept_tokens:NAME:24", "kv_bytes:NAME:15144"."""
    return [
        f"{kind}:{item.tier}:{item.features[kind]:.0f}"
        for item in evidence
        for kind in (KEPT, STORED)
        if kind in item.features
    ]


def total(notes: Sequence[str], kind: str) -> int | None:
    """Of all members that told; None when nobody did."""
    told = [int(note.rpartition(":")[2]) for note in notes if note.startswith(f"{kind}:")]
    return sum(told) if told else None

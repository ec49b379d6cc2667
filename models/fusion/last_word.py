"""The word of a stranger who is asked last: added to what the members before come to.

An arbiter speaks on too few scenes for a fusion to be fitted on it, which would leave it out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from models.calibration import clamp
from models.core import Evidence
from models.fusion.simple import fuse

Fuse = Callable[[Sequence[Evidence]], float | None]


def with_last_word(fused: Fuse, names: Collection[str]) -> Fuse:
    """`fused` of everybody but `names`, whose log-odds are added to it as they are."""

    def decide(evidence: Sequence[Evidence]) -> float | None:
        before = fused([item for item in evidence if item.tier not in names])
        last = fuse(item for item in evidence if item.tier in names)
        return before if last is None else clamp((before or 0.0) + last)

    return decide

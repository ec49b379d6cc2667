"""What metrics tell of capture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figures:
    """`active` on and not stopped by the disk; `count`, `bytes` of what is kept; `outcomes` of offers since
    start, by what became of them; `dropped` offers since start that found no place to wait."""

    active: bool
    count: int
    bytes: int
    outcomes: Mapping[str, int]
    dropped: int

"""What a gate gets to see of a candidate, and what it says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from miner.engine.golden import Item
from miner.swap.asking import Said


@dataclass(frozen=True, slots=True)
class Trial:
    """Pictures and what champion and challenger said to them, each in the same order.

    `items` labelled ones, in the order of their labels; `known` the golden set, which never changes;
    `within_s` seconds there are for an answer."""

    items: Sequence[Item]
    champion: Sequence[Said]
    challenger: Sequence[Said]
    known: Sequence[Item]
    known_champion: Sequence[Said]
    known_challenger: Sequence[Said]
    within_s: float


@dataclass(frozen=True, slots=True)
class Ruling:
    """`why` in sentences; `figures` behind it; `final` when more labels would change nothing."""

    promote: bool
    why: tuple[str, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    final: bool = True


Gate = Callable[[Trial], Awaitable[Ruling]]
Labelled = Callable[[str, str], Awaitable[Sequence[Item]]]
"""The labelled pictures to compare (tier, version) on: oldest label first, none that it was trained on."""

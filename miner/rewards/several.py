"""The rewards of several hotkeys, each kept by its own keeper; what holds for the subnet is told once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from miner.rewards.keeper import Look
from miner.rewards.rules import Found

OF_THE_SUBNET = ("burn", "halt", "silent")
"""Kinds of alarm that may hold for all hotkeys alike."""


class Checks(Protocol):
    """`RewardKeeper`, or several of them."""

    async def check(self) -> str: ...


class Keeps(Protocol):
    """`RewardKeeper`."""

    async def look(self) -> Look: ...

    def ring(self, found: Mapping[str, Found]) -> None: ...


class Several:
    """One check of all, in order; what was seen of each, in a line. An alarm that all of them would ring is
    rung by the first alone."""

    def __init__(self, keepers: Sequence[Keeps]) -> None:
        self._keepers = tuple(keepers)

    async def check(self) -> str:
        looks = [await keeper.look() for keeper in self._keepers]
        for number, (keeper, look) in enumerate(zip(self._keepers, looks, strict=True)):
            keeper.ring(_beside_first(look.found, looks) if number else look.found)
        return "; ".join(look.said for look in looks)


def _beside_first(found: Mapping[str, Found], looks: Sequence[Look]) -> dict[str, Found]:
    """Without what everybody has found."""
    return {
        kind: {key: said for key, said in alarms.items() if not _everywhere(kind, key, looks)}
        for kind, alarms in found.items()
    }


def _everywhere(kind: str, key: str, looks: Sequence[Look]) -> bool:
    return kind in OF_THE_SUBNET and all(key in look.found.get(kind, {}) for look in looks)

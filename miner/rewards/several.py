"""The rewards of several hotkeys, each kept by its own keeper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Checks(Protocol):
    """`RewardKeeper`, or several of them."""

    async def check(self) -> str: ...


class Several:
    """One check of all, in order; what was seen of each, in a line."""

    def __init__(self, keepers: Sequence[Checks]) -> None:
        self._keepers = tuple(keepers)

    async def check(self) -> str:
        return "; ".join([await keeper.check() for keeper in self._keepers])

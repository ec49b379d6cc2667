"""The chain's large tables, weights and bonds: read once for all who want them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from miner.chain.errors import ChainDown, ChainRefused
from miner.chain.scorers import Rows
from miner.chain.snapshot import Snapshot

READ_EVERY_S = 3600.0
"""They are read at every epoch, and this often where epochs are far apart."""


class Scores(Protocol):
    """Where they are: `Chain`."""

    async def weights(self) -> dict[int, dict[int, float]]: ...

    async def bonds(self) -> dict[int, dict[int, float]]: ...


class Tables:
    """`weights`, `bonds`: validator uid -> uid -> value, as last read; None before the first time."""

    def __init__(self, chain: Scores, *, wall: Callable[[], float] = time.time) -> None:
        self.weights: Rows | None = None
        self.bonds: Rows | None = None
        self._chain, self._wall = chain, wall
        self._turn = asyncio.Lock()
        self._epoch, self._read_s = 0, 0.0
        self._failed: tuple[int, str] | None = None

    async def read(self, snapshot: Snapshot) -> str:
        """Read them when they are due by this snapshot; why that failed, else "". What failed is tried again
        with the next snapshot, not by the next who asks."""
        async with self._turn:
            if self._fresh(snapshot):
                return ""
            if self._failed is not None and self._failed[0] == snapshot.block:
                return self._failed[1]
            try:
                weights, bonds = await self._chain.weights(), await self._chain.bonds()
            except (ChainDown, ChainRefused) as error:
                self._failed = snapshot.block, f"weights and bonds not read: {error}"
                return self._failed[1]
            self.weights, self.bonds, self._failed = weights, bonds, None
            self._epoch, self._read_s = snapshot.last_epoch, self._wall()
            return ""

    def _fresh(self, snapshot: Snapshot) -> bool:
        young = self._wall() - self._read_s < READ_EVERY_S
        return self.weights is not None and snapshot.last_epoch <= self._epoch and young

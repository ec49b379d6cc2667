"""Where bodies wait that must be read before anything is proven: a signature of SDK 11 covers the body."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from miner.wire.synapse import Rejected


class Lobby:
    """Room for `most` bytes of them. A newcomer always gets its chance: who goes is the one that has been
    there longest, of the network that takes the most room.

    So an address that sends many large bodies, or slow ones, pushes out its own, and whoever is behind a
    thousand addresses must renew them faster than an honest body takes to arrive.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0
        self._inside: dict[asyncio.Timeout, tuple[str, int]] = {}  # longest there first

    def __len__(self) -> int:
        """Bytes that are taken."""
        return self._taken

    @asynccontextmanager
    async def room(self, network: str, size: int) -> AsyncIterator[None]:
        """Room for a body of so many bytes. Raises Rejected("callers") when it is taken away meanwhile."""
        while self._inside and self._taken + size > self._most:
            self._send_away()
        try:
            async with asyncio.timeout(None) as stay:
                self._inside[stay] = network, size
                self._taken += size
                try:
                    yield
                finally:
                    self._leave(stay)
        except TimeoutError:
            raise Rejected("callers") from None

    def _send_away(self) -> None:
        taken: Counter[str] = Counter()
        for network, size in self._inside.values():
            taken[network] += size
        (largest, _), *_ = taken.most_common(1)
        stay = next(stay for stay, (network, _) in self._inside.items() if network == largest)
        self._leave(stay)
        stay.reschedule(asyncio.get_running_loop().time())

    def _leave(self, stay: asyncio.Timeout) -> None:
        _, size = self._inside.pop(stay, ("", 0))
        self._taken -= size

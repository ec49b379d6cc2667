"""The clock of a rehearsed month: it stands still while anybody works, then goes on."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from itertools import count

from miner.jobs.clock import Clock

LOOK_S = 0.002


class Calendar(Clock):
    """From `start_s` (seconds since 1970) on. Whoever sleeps is woken in the order of the due times, and time
    goes on when `sleepers` of them sleep again and `settle` has returned."""

    def __init__(self, start_s: float) -> None:
        super().__init__()
        self.speed = float("inf")  # nobody looks whether the machine was asleep meanwhile
        self.sleepers = 1
        self.settle: Callable[[], Awaitable[None]] = _at_once
        self._now = start_s
        self._asleep: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()

    def now(self) -> float:
        return self._now

    def now_ns(self) -> int:
        return round(self._now * 1e9)

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._asleep, (self._now + seconds, next(self._numbers), woken))
        await woken

    async def until(self, at_s: float) -> None:
        """Go on to `at_s`, and let everybody work who is due by then."""
        await self._quiet()
        while self._asleep and self._asleep[0][0] <= at_s:
            due, _, woken = heapq.heappop(self._asleep)
            self._now = max(self._now, due)
            if not woken.done():
                woken.set_result(None)
            await self._quiet()
        self._now = max(self._now, at_s)

    async def _quiet(self) -> None:
        await asyncio.sleep(0)
        while len(self._asleep) < self.sleepers:
            await asyncio.sleep(LOOK_S)
        await self.settle()


async def _at_once() -> None:
    """There is nobody to wait for."""

"""The time that schedules go by."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any


class Clock:
    """The wall clock, or one that starts with it and runs `speed` times as fast (a rehearsal of months)."""

    def __init__(
        self,
        speed: float = 1.0,
        *,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        if speed <= 0:
            raise ValueError("a clock's speed is above 0")
        self.speed = speed
        self._wall, self._sleep = wall, sleep
        self._began = wall()

    def now(self) -> float:
        """Seconds since 1970."""
        if self.speed == 1.0:
            return self._wall()
        return self._began + (self._wall() - self._began) * self.speed

    async def sleep(self, seconds: float) -> None:
        """For so many seconds of this clock."""
        await self._sleep(seconds / self.speed)

"""A time limit for many tasks at once, by one timer: `asyncio.timeout` sets and unsets a timer for each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

T = TypeVar("T")

TICK_S = 0.1
"""How often limits are looked at; one is kept to within this."""


class Patience:
    """Called by a task with what it waits for. Belongs to the event loop of its first caller."""

    def __init__(self) -> None:
        self._limits: dict[asyncio.Task[Any], float] = {}
        self._ticking = False

    async def __call__(self, awaited: Awaitable[T], seconds: float) -> T:
        """The result of `awaited`. Raises TimeoutError, having cancelled it, when it takes longer than
        `seconds`."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        self._limits[task] = loop.time() + seconds
        if not self._ticking:
            self._ticking = True
            loop.call_later(TICK_S, self._tick, loop)
        try:
            return await awaited
        except asyncio.CancelledError:
            if task in self._limits or task.uncancel() > 0:
                raise  # somebody else cancels it
            raise TimeoutError from None
        finally:
            self._limits.pop(task, None)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for task in [task for task, limit in self._limits.items() if limit <= now]:
            del self._limits[task]
            task.cancel()
        self._ticking = bool(self._limits)
        if self._ticking:
            loop.call_later(TICK_S, self._tick, loop)

"""The engine that can be changed for another between two requests."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from loguru import logger

from miner.engine.interface import Engine, EngineHealth
from models.core import BACKGROUND, Request, Verdict
from models.description import Description

COUNTED = ("answered", "shed", "failed", "restarts", "course_changes")
"""Counts of an engine's health that go on when it is exchanged."""

Watcher = Callable[[Request, Verdict], None]
"""Sees a challenge once it is answered. Must return at once and raise nothing."""


class Make(Protocol):
    """The engine of a description, not started; `gentle` see EngineConfig."""

    def __call__(self, described: Description, *, gentle: bool) -> Engine: ...


class SwappingEngine:
    """An `Engine` around whichever serves now. `described` what that one was made from."""

    def __init__(self, make: Make, described: Description) -> None:
        self.described = described
        self._make = make
        self._serving = make(described, gentle=False)
        self._before: Counter[str] = Counter()
        self._leaving: dict[Engine, asyncio.Task[None]] = {}
        self._watcher: Watcher | None = None
        self._stopped = False

    async def start(self) -> None:
        await self._serving.start()

    async def submit(self, request: Request) -> Verdict:
        """See `Engine.submit`. Nothing is awaited between choosing the engine and its admission: whoever it
        has admitted, it answers, also while it leaves."""
        verdict = await self._serving.submit(request)
        if self._watcher is not None and request.priority > BACKGROUND:
            self._watcher(request, verdict)
        return verdict

    def health(self) -> EngineHealth:
        """Of the one that serves; counts are of all that ever did."""
        now = self._serving.health()
        counts = self._before.copy()
        for engine in self._leaving:
            counts.update(_counts(engine))
        return replace(now, **{name: counts[name] + getattr(now, name) for name in COUNTED})

    async def trace(self, seconds: float, file: Path) -> list[tuple[str, float]]:
        """See `Engine.trace`."""
        return await self._serving.trace(seconds, file)

    async def stop(self) -> None:
        self._stopped = True
        await asyncio.gather(self._serving.stop(), *self._leaving.values())

    # For whoever swaps

    @property
    def serving(self) -> Engine:
        """To ask it something that is no challenge."""
        return self._serving

    def beside(self, described: Description, *, gentle: bool = True) -> Engine:
        """Another one, not started; `gentle`: it will not be in the way while it loads."""
        return self._make(described, gentle=gentle)

    def exchange(self, engine: Engine, described: Description) -> Engine:
        """From now on `engine`, which is ready, serves; the one that did until now. Whoever calls it has it
        `leave`, or brings it back."""
        if self._stopped:
            raise RuntimeError("the miner is stopping")
        old, self._serving, self.described = self._serving, engine, described
        return old

    def leave(self, engine: Engine) -> asyncio.Task[None]:
        """Have one that served finish its requests and end; the task is done when its memory is free."""
        task = asyncio.create_task(self._leave(engine), name="engine-leaving")
        self._leaving[engine] = task
        return task

    def watch(self, watcher: Watcher | None) -> None:
        self._watcher = watcher

    async def _leave(self, engine: Engine) -> None:
        try:
            await engine.stop()
        except Exception:  # noqa: BLE001 - whatever it raises at its end concerns nobody any more
            logger.exception("an engine that had served did not end well")
        finally:
            del self._leaving[engine]
            self._before.update(_counts(engine))


def _counts(engine: Engine) -> Counter[str]:
    health = engine.health()
    return Counter({name: getattr(health, name) for name in COUNTED})

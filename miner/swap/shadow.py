"""Live challenges shown to a candidate too, after they were answered."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from miner.engine.interface import Engine
from miner.swap.asking import REST, Said, ask
from models.core import Request, Verdict


@dataclass(frozen=True, slots=True)
class Pair:
    """One challenge: what was answered, and what the candidate would have."""

    served: Verdict
    said: Said

    @property
    def differ(self) -> bool:
        """Whether they put it on different sides."""
        return (
            self.said.log_odds is not None
            and self.served.log_odds is not None
            and (self.said.log_odds > 0) != (self.served.log_odds > 0)
        )


class Shadow:
    """A watcher of `SwappingEngine`. `count` challenges are enough; `within_s` each may take.

    One copy at a time, with rests: the candidate must not take the CPU from those who answer."""

    def __init__(self, candidate: Engine, count: int, within_s: float) -> None:
        self.pairs: list[Pair] = []
        self._candidate = candidate
        self._count = count
        self._within_s = within_s
        self._asking: set[asyncio.Task[None]] = set()
        self._enough = asyncio.Event()
        self._rests_until = 0.0
        if not count:
            self._enough.set()

    def __call__(self, request: Request, verdict: Verdict) -> None:
        if self._enough.is_set() or self._asking or time.monotonic() < self._rests_until:
            return
        if "cached" in verdict.notes:
            return
        task = asyncio.create_task(self._ask(request, verdict))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def wait(self, most_s: float) -> list[Pair]:
        """Until there are enough, or as many as came in the time."""
        try:
            async with asyncio.timeout(most_s):
                await self._enough.wait()
        except TimeoutError:
            self._enough.set()
        await asyncio.gather(*self._asking)
        return self.pairs

    async def _ask(self, request: Request, verdict: Verdict) -> None:
        said = await ask(self._candidate, request.views, self._within_s, request.hotkey)
        self._rests_until = time.monotonic() + REST * said.ms / 1e3
        if said.unfair:
            return
        self.pairs.append(Pair(verdict, said))
        if len(self.pairs) >= self._count or said.fault:
            self._enough.set()

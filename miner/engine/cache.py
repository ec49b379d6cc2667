"""The same images asked again get the same answer, and asked at the same time cost one judgement."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from miner.engine.interface import BadImage, Engine, EngineHealth, Unavailable
from models.core import Request, Verdict

CUT = ("load:", "no_time:", "smaller:")
"""How the judge notes what it spared, and whom, under load."""


def fingerprint(request: Request) -> str:
    """SHA-256 over the views and where each one ends."""
    first, *more = request.views
    known = request.sha256 or sha256(first).hexdigest()
    if not more:
        return known
    return sha256("".join([known, *(sha256(view).hexdigest() for view in more)]).encode()).hexdigest()


class CachedEngine:
    """An `Engine` around another. Failures and what a deadline or load cut short are never remembered: the
    next time there may be time for everybody.

    `window_s` how long a verdict is repeated, and kept when nobody asks again; `most` how many are kept, the
    least recently asked goes first."""

    def __init__(
        self, inner: Engine, *, window_s: float, most: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._inner = inner
        self._window_s = window_s
        self._most = most
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, Verdict]] = OrderedDict()
        self._asking: dict[str, asyncio.Future[Verdict | BadImage | None]] = {}

    def __len__(self) -> int:
        """Verdicts that are kept."""
        return len(self._known)

    async def start(self) -> None:
        await self._inner.start()

    async def submit(self, request: Request) -> Verdict:
        """See `Engine.submit`."""
        key = fingerprint(request)
        while True:
            if (known := self._recall(key)) is not None:
                return _repeated(known, request)
            if request.priority < 0:
                return await self._alone(key, request)
            if (asking := self._asking.get(key)) is None:
                return await self._lead(key, request)
            if (shared := await self._follow(asking, request)) is not None:
                return _repeated(shared, request)

    def health(self) -> EngineHealth:
        return self._inner.health()

    async def trace(self, seconds: float, file: Path) -> list[tuple[str, float]]:
        """See `Engine.trace`."""
        return await self._inner.trace(seconds, file)

    async def stop(self) -> None:
        await self._inner.stop()

    def _recall(self, key: str) -> Verdict | None:
        found = self._known.get(key)
        if found is None:
            return None
        since, verdict = found
        if self._clock() - since > self._window_s:
            del self._known[key]
            return None
        self._known.move_to_end(key)
        return verdict

    async def _alone(self, key: str, request: Request) -> Verdict:
        """In the background, where nobody may have to wait for this answer."""
        verdict = await self._inner.submit(request)
        if _lasting(verdict):
            self._remember(key, verdict)
        return verdict

    async def _lead(self, key: str, request: Request) -> Verdict:
        """Ask the engine; tell whoever follows: the verdict, that the image is bad, or None to try for
        themselves."""
        asking = self._asking[key] = asyncio.get_running_loop().create_future()
        outcome: Verdict | BadImage | None = None
        try:
            verdict = await self._inner.submit(request)
            outcome = verdict if _whole(verdict) else None
            return verdict
        except BadImage as bad:
            outcome = bad
            raise
        finally:
            if isinstance(outcome, Verdict) and _lasting(outcome):
                self._remember(key, outcome)
            del self._asking[key]
            asking.set_result(outcome)

    async def _follow(
        self, asking: asyncio.Future[Verdict | BadImage | None], request: Request
    ) -> Verdict | None:
        left = request.deadline - self._clock()
        done, _ = await asyncio.wait([asking], timeout=max(0.0, left))
        if not done:
            raise Unavailable("deadline")
        outcome = asking.result()
        if isinstance(outcome, BadImage):
            raise BadImage(outcome.reason)
        return outcome

    def _remember(self, key: str, verdict: Verdict) -> None:
        known, now = self._known, self._clock()
        known[key] = now, verdict
        known.move_to_end(key)
        while len(known) > self._most or now - next(iter(known.values()))[0] > self._window_s:
            known.popitem(last=False)


def _whole(verdict: Verdict) -> bool:
    """Whether every tier spoke that was going to."""
    return not any(note == "deadline" or note.startswith("failed:") for note in verdict.notes)


def _lasting(verdict: Verdict) -> bool:
    """Whether every member was asked, and shown all, that would be without load."""
    return _whole(verdict) and not any(note.startswith(CUT) for note in verdict.notes)


def _repeated(verdict: Verdict, request: Request) -> Verdict:
    return replace(verdict, id=request.id, ms={"total": 0.0}, notes=(*verdict.notes, "cached"))

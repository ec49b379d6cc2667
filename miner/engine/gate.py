"""Who gets into an engine, and the count of what became of them: the same in front of every kind of
engine."""

from __future__ import annotations

import time
from collections.abc import Callable

from miner.engine.config import EngineConfig
from miner.engine.forecast import Book, Forecast
from miner.engine.interface import Refused, Shed, Unavailable
from models.core import Request, Verdict


class Gate:
    """`enter` before judging, `leave` after it, once each; in between `passed`, when only later members are
    still waited for. `answered`, `shed`, `failed` since the start; `last_s` the monotonic time of the last
    verdict."""

    def __init__(self, config: EngineConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self.answered = self.shed = self.failed = 0
        self.last_s: float | None = None
        self._book, self._background = Book(config.queue), Book(config.queue)
        self._passed: set[str] = set()
        self._bytes = 0
        self._most_bytes = config.held_bytes
        self._clock = clock

    def enter(self, request: Request, forecast: Forecast) -> None:
        """Raises Shed: "memory", "full" or "late"."""
        size = sum(map(len, request.views))
        try:
            if self._bytes + size > self._most_bytes:
                raise Shed("memory")
            book = self._book_of(request)
            book.admit(forecast, self._clock(), request.deadline, len(request.views))
        except Shed:
            self.shed += 1
            raise
        self._bytes += size
        book.add(request.deadline, len(request.views))

    def passed(self, request: Request) -> None:
        """The first tier has judged it: nobody waits behind it any more. Later members are left out when they
        have no time, so that none of them costs another request its answer. No effect the second time."""
        if request.id not in self._passed:
            self._passed.add(request.id)
            self._book_of(request).passed(request.deadline, len(request.views))

    def leave(self, request: Request, outcome: Verdict | Refused | None) -> None:
        """None: withdrawn by whoever asked, which counts as nothing."""
        if request.id in self._passed:
            self._passed.discard(request.id)
            self._book_of(request).forget(len(request.views))
        else:
            self._book_of(request).remove(request.deadline, len(request.views))
        self._bytes -= sum(map(len, request.views))
        if isinstance(outcome, Verdict):
            self.answered += 1
            self.last_s = self._clock()
        elif outcome is not None:
            self.failed += 1

    def _book_of(self, request: Request) -> Book:
        """Who waits in the background takes nobody's place: it is admitted as if it were alone."""
        return self._background if request.priority < 0 else self._book

    def closed(self, reason: str) -> Unavailable:
        """The refusal of somebody who came while nobody judges."""
        self.failed += 1
        return Unavailable(reason)

"""Who gets into an engine, and the count of what became of them: the same in front of every kind of
engine."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from miner.engine.config import EngineConfig
from miner.engine.forecast import RESERVE, Book, Forecast
from miner.engine.interface import Refused, Shed, Unavailable
from models.core import Request, Verdict

ASKED_S = 60.0
"""A hotkey that nobody has asked for this long keeps no room for itself."""


class Gate:
    """`enter` before judging, `leave` after it, once each; in between `passed`, when only later members are
    still waited for. `answered`, `shed`, `failed` since the start; `last_s` the monotonic time of the last
    verdict.

    Where several of our hotkeys are asked, each may fill no more than its part of the time until a deadline,
    so that the others find room. That costs no throughput: whoever sheds early still has a queue.
    """

    def __init__(self, config: EngineConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self.answered = self.shed = self.failed = 0
        self.last_s: float | None = None
        self._book, self._background = Book(config.queue), Book(config.queue)
        self._passed: set[str] = set()
        self._asked_s: dict[str, float] = {}
        self._images: Counter[str] = Counter()
        self._bytes = 0
        self._most_bytes = config.held_bytes
        self._clock = clock

    def enter(self, request: Request, forecast: Forecast) -> None:
        """Raises Shed: "memory", "share", "full" or "late"."""
        size, images, now = sum(map(len, request.views)), len(request.views), self._clock()
        book = self._book_of(request)
        try:
            if self._bytes + size > self._most_bytes:
                raise Shed("memory")
            self._share(request, forecast, now)
            book.admit(forecast, now, request.deadline, images)
        except Shed:
            self.shed += 1
            raise
        self._bytes += size
        self._images[request.hotkey] += images
        book.add(request.deadline, images)

    def _share(self, request: Request, forecast: Forecast, now: float) -> None:
        """Raises Shed("share") when one of several hotkeys has as much waiting as is its part. In the
        background nobody is kept from anything."""
        if request.priority < 0:
            return
        asked = self._asked_s
        if len(asked) == 1 and request.hotkey in asked:  # the usual one of one
            asked[request.hotkey] = now
            return
        asked.pop(request.hotkey, None)
        asked[request.hotkey] = now  # the latest comes last: only the stale ones are walked over
        while now - asked[oldest := next(iter(asked))] >= ASKED_S:
            del asked[oldest]
        if len(asked) == 1:
            return
        waiting = self._images[request.hotkey]
        left_s = (1.0 - RESERVE) * (request.deadline - now) / len(asked)
        if waiting and forecast.backlog(waiting + len(request.views)) > left_s:
            raise Shed("share")

    def passed(self, request: Request) -> None:
        """The first tier has judged it: nobody waits behind it any more. Later members are left out when they
        have no time, so that none of them costs another request its answer. No effect the second time."""
        if request.id not in self._passed:
            self._passed.add(request.id)
            self._images[request.hotkey] -= len(request.views)
            self._book_of(request).passed(request.deadline, len(request.views))

    def leave(self, request: Request, outcome: Verdict | Refused | None) -> None:
        """None: withdrawn by whoever asked, which counts as nothing."""
        images, book = len(request.views), self._book_of(request)
        if request.id in self._passed:
            self._passed.discard(request.id)
            book.forget(images)
        else:
            self._images[request.hotkey] -= images
            book.remove(request.deadline, images)
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

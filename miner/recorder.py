"""Takes exchanges from the wire without blocking, and hands them in batches to whatever writes them down."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from loguru import logger

from miner.records import Exchange

TICK_S = 0.5
"""A round of the sinks costs as much as thirty challenges, whatever is in it; a SIGKILL loses one of them."""
BATCH = 200
"""Of exchanges that sinks get at once: about 8 ms of Python, during which the event loop, which needs the
same interpreter, gets hardly a turn."""
REST_S = 0.005
"""For the event loop, between one batch and the next of a round."""
QUEUE = 50_000
"""Most exchanges that wait for a sink that hangs; past it the oldest are dropped, and counted."""


HUNG_S = 5.0
"""Sinks that were not served for so long are waiting for one that does not return."""


class Sink(Protocol):
    """Something that writes exchanges down: called by one thread, every tick, also with an empty batch."""

    def write(self, batch: Sequence[Exchange], /) -> None: ...


@dataclass(frozen=True, slots=True)
class RecorderHealth:
    """`queued` exchanges wait; `dropped` were lost since start; `errors` counts failed writes by sink;
    `last_write_age_s` seconds since the sinks were last served: far over a tick when one of them hangs;
    `failing` the sinks whose last write failed."""

    queued: int
    dropped: int
    errors: dict[str, int]
    last_write_age_s: float
    failing: list[str] = field(default_factory=list)

    @property
    def state(self) -> str:
        """ "ok", "failing" (a sink refuses, rows may wait) or "hung" (a sink does not return)."""
        if self.last_write_age_s > HUNG_S:
            return "hung"
        return "failing" if self.failing else "ok"


class Recorder:
    """One thread that gives every exchange to every sink, in order, within a tick (0.5 s).

    A sink that raises is logged loudly once, counted each time, and harms no other sink; what it lost is its
    own affair (the ledger keeps its rows and tries again). Put the sink that may hang (a disk) last.
    """

    def __init__(
        self, sinks: Sequence[Sink], *, tick_s: float = TICK_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sinks = tuple(sinks)
        self._tick_s = tick_s
        self._clock = clock
        self._queue: deque[Exchange] = deque()
        self._dropped = 0
        self._errors: dict[str, int] = {_name(sink): 0 for sink in sinks}
        self._failing: set[str] = set()
        self._served_at = clock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def record(self, exchange: Exchange) -> None:
        """Take an exchange: an append, no lock, no waking of anybody. Never raises."""
        if len(self._queue) >= QUEUE:
            self._drop_oldest()
        self._queue.append(exchange)

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Hand over what is queued and end the thread; False when a sink hangs and it did not end in time."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def flush(self) -> None:
        """Serve the sinks once, in the caller's thread: for a recorder that was not started."""
        self._serve(self._take())

    def health(self) -> RecorderHealth:
        return RecorderHealth(
            len(self._queue),
            self._dropped,
            dict(self._errors),
            self._clock() - self._served_at,
            sorted(self._failing),
        )

    def _drop_oldest(self) -> None:
        try:
            self._queue.popleft()
            self._dropped += 1
        except IndexError:  # the thread emptied the queue in between: nothing to drop any more
            return

    def _run(self) -> None:
        while not self._stopping.wait(self._tick_s):
            self._serve_all()
        self._serve_all()

    def _serve_all(self) -> None:
        self._serve(self._take())
        while self._queue:
            self._stopping.wait(REST_S)
            self._serve(self._take())

    def _take(self) -> list[Exchange]:
        return [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]

    def _serve(self, batch: Sequence[Exchange]) -> None:
        for sink in self._sinks:
            self._hand_over(sink, batch)
        self._served_at = self._clock()

    def _hand_over(self, sink: Sink, batch: Sequence[Exchange]) -> None:
        name = _name(sink)
        try:
            sink.write(batch)
        except Exception:  # noqa: BLE001 - the edge of this thread: one sink must not stop it, nor the others
            self._errors[name] += 1
            if name not in self._failing:
                self._failing.add(name)
                logger.opt(exception=True).critical("{} fails; trying again with every batch", name)
        else:
            if name in self._failing and batch:
                self._failing.discard(name)
                logger.warning("{} works again", name)


def _name(sink: Sink) -> str:
    return type(sink).__name__

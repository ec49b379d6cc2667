"""How long an event loop was held, seen from inside it.

A task that sleeps for 5 ms again and again: what it comes too late by, less what its thread waited for a core
(the kernel counts that), is what some callback, another thread of the process that held the interpreter, or
a blocking call took. On a system that does not count, nothing is subtracted. A hold is underestimated by at
most the 5 ms."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

EVERY_S = 0.005
LONG_S = 0.02
SCHEDULER = "/proc/thread-self/schedstat"
KEPT = 8
"""Places in the code that are remembered."""


@dataclass(slots=True)
class Seen:
    """Since the last look: `ticks`; ms of the longest hold, and of the longest lateness whoever was to blame;
    `long` holds of more than 20 ms, and `where` the loop was then, as far as it could be seen; `gc_ms` of the
    longest garbage collection, in CPU of the thread it met, while nobody else has the interpreter."""

    ticks: int = 0
    held_ms: float = 0.0
    late_ms: float = 0.0
    long: int = 0
    where: list[str] = field(default_factory=list)
    gc_ms: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Held:
    """`run` in the loop that is watched; `take` from anywhere."""

    def __init__(self) -> None:
        self._seen = Seen()
        self._due = float("inf")
        self._thread = 0
        self._collects_since = 0.0

    def take(self) -> dict[str, Any]:
        """What was seen since the last time."""
        seen, self._seen = self._seen, Seen()
        return seen.to_json()

    async def run(self) -> None:
        """Until cancelled."""
        self._thread = threading.get_ident()
        threading.Thread(target=self._looking, name="held", daemon=True).start()
        gc.callbacks.append(self._collected)
        try:
            await self._ticking(_Waited())
        finally:
            gc.callbacks.remove(self._collected)

    async def _ticking(self, counted: _Waited) -> None:
        while True:
            before = counted()
            self._due = time.perf_counter() + EVERY_S
            await asyncio.sleep(EVERY_S)
            late = time.perf_counter() - self._due
            self._note(late, late - (counted() - before))

    def _note(self, late: float, held: float) -> None:
        seen = self._seen
        seen.ticks += 1
        seen.late_ms = max(seen.late_ms, late * 1e3)
        seen.held_ms = max(seen.held_ms, held * 1e3)
        seen.long += held > LONG_S

    def _collected(self, phase: str, told: dict[str, int]) -> None:
        if phase == "start":
            self._collects_since = time.thread_time()
        else:
            took = time.thread_time() - self._collects_since
            self._seen.gc_ms = max(self._seen.gc_ms, took * 1e3)

    def _looking(self) -> None:
        """Where the loop is while it is overdue."""
        while True:
            time.sleep(LONG_S / 2)
            if time.perf_counter() - self._due > LONG_S / 2 and len(self._seen.where) < KEPT:
                frame = sys._current_frames().get(self._thread)
                calls = traceback.extract_stack(frame)[-4:]
                self._seen.where.append(
                    " < ".join(f"{Path(c.filename).name}:{c.lineno}" for c in calls[::-1])
                )


class _Waited:
    """Seconds that the calling thread was able to run and had no core."""

    def __init__(self) -> None:
        try:
            self._file = os.open(SCHEDULER, os.O_RDONLY)
        except OSError:
            self._file = -1

    def __call__(self) -> float:
        return int(os.pread(self._file, 100, 0).split()[1]) / 1e9 if self._file >= 0 else 0.0

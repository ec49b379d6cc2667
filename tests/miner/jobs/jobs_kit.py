"""A clock that only goes when a test says so, and books that remember."""

from __future__ import annotations

import asyncio
import heapq
import itertools

from miner.alarms import Alarms
from miner.jobs import Job, Scheduler

START_S = 1_800_000_000.0
"""2027-01-15 08:00:00 UTC, a Friday."""
TURNS = 30
"""Of the event loop: enough for whatever was woken to go to sleep again."""


class VirtualClock:
    """Sleepers wake in the order of their times, at their times."""

    speed = 1.0

    def __init__(self) -> None:
        self.at = START_S
        self._number = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.at + seconds, next(self._number), future))
        await future

    def step(self, seconds: float) -> None:
        """Set the clock; nobody sleeps longer or shorter for it."""
        self.at += seconds
        self._sleepers = [(due + seconds, number, future) for due, number, future in self._sleepers]

    async def advance(self, seconds: float) -> None:
        await settle()
        end = self.at + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            self.at = max(self.at, due)
            if not future.done():
                future.set_result(None)
            await settle()
        self.at = max(self.at, end)


async def settle() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


class Books:
    def __init__(self) -> None:
        self.runs: list[dict] = []
        self.pauses: list[tuple[str, bool]] = []
        self.events: list[tuple[str, dict]] = []

    def job_run(self, job, **run) -> None:
        self.runs.append({"job": job, **run})

    def job_pause(self, job, *, paused) -> None:
        self.pauses.append((job, paused))

    def event(self, kind, data) -> None:
        self.events.append((kind, dict(data)))

    def outcomes(self, job: str) -> list[str]:
        return [run["outcome"] for run in self.runs if run["job"] == job]


class Running:
    """A scheduler at work, ended with the block."""

    def __init__(self, *jobs: Job, clock: VirtualClock | None = None, **earlier) -> None:
        self.clock, self.books = clock or VirtualClock(), Books()
        self.alarms = Alarms(self.books.event, clock=self.clock.now)
        self.scheduler = Scheduler(jobs, self.books, self.alarms, self.clock, **earlier)

    async def __aenter__(self) -> Running:
        self._task = asyncio.create_task(self.scheduler.run())
        await settle()
        return self

    async def __aexit__(self, *_) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def row(self, name: str):
        return next(row for row in self.scheduler.rows() if row["name"] == name)

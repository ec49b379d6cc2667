"""One job at work: waits until it is due, runs it, notes what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import isfinite

from loguru import logger

from miner.jobs.clock import Clock
from miner.jobs.job import FAILED, MISSED, OK, SCHEDULE, TIMEOUT, Context, Job, JobFailed, JobRow, LastRun
from miner.jobs.timetable import Timetable

LOOK_S = 60.0
"""A wait is cut into pieces of so many real seconds, so that a clock that was set, or slept, is noticed."""
DETAIL = 500
"""Most characters of a result."""
STOP_S = 1.0
"""How long a cancelled run may take to end before it is left to itself."""

Note = Callable[[Job, LastRun | None, LastRun], None]
"""Takes the job, its run before and this one."""


class Worker:
    """`note` is called after every run, and for every due time that was left out.

    `last` is the newest run known, from the ledger at first. Pausing lets a running one finish.
    """

    def __init__(self, job: Job, clock: Clock, note: Note, last: LastRun | None, *, paused: bool) -> None:
        self.job, self.last = job, last
        self._clock, self._note = clock, note
        self._timetable = Timetable(job)
        self._last_s = None if last is None else last["at_s"]
        self._next_s = self._timetable.due(self._last_s, clock.now())
        self._paused = paused
        self._task: asyncio.Task[str] | None = None
        self._waiting: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Also while a run that was cancelled has not ended."""
        return self._task is not None and not self._task.done()

    def row(self) -> JobRow:
        return JobRow(
            name=self.job.name,
            about=self.job.about,
            when=self.job.when,
            running=self.running,
            paused=self._paused,
            last=self.last,
            next_s=max(self._next_s, self._clock.now())
            if not self._paused and isfinite(self._next_s)
            else None,
        )

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        """Go on with the next due time; what was due meanwhile is not made up for."""
        if self._paused:
            self._paused = False
            self._next_s = self._timetable.due(self._clock.now(), self._clock.now())

    async def loop(self) -> None:
        """Run the job whenever it is due, for ever. The times of a paused one pass by, and those of one whose
        last run still hangs."""
        while True:
            await self._until_due()
            late_s, self._last_s = self._clock.now() - self._next_s, self._clock.now()
            if not self._paused and not self.running:
                await self._scheduled(late_s)
            self._next_s = self._timetable.due(self._last_s, max(self._clock.now(), self._last_s))

    async def _scheduled(self, late_s: float) -> None:
        if self.job.grace_s is not None and late_s > self.job.grace_s:
            self._finish(_run(self._clock.now(), SCHEDULE, 0.0, MISSED, f"{late_s:.0f} s late"))
        else:
            await self.run(SCHEDULE)

    async def run(self, trigger: str) -> LastRun:
        """Run it now, paused or not. Raises ValueError when it is running already."""
        if self.running:
            raise ValueError(f"{self.job.name} is running already")
        began, context = asyncio.get_running_loop().time(), Context(self.job.name, trigger, self._clock.now())
        self._task = asyncio.create_task(self._work(context), name=f"job {self.job.name}")
        outcome, detail = await self._outcome(self._task)
        took = asyncio.get_running_loop().time() - began
        return self._finish(_run(context.at_s, trigger, took, outcome, detail))

    async def stop(self) -> None:
        """Cancel what runs."""
        if self._task is not None and self.running:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=STOP_S)

    async def _until_due(self) -> None:
        seen = self._clock.now()
        while (left := self._next_s - (now := self._clock.now())) > 0:
            if now < seen:  # the clock was set back: what was reckoned by it lies too far ahead
                self._next_s = self._timetable.due(self._last_s, now)
                left = self._next_s - now
            seen = now
            await self._clock.sleep(min(left, LOOK_S * self._clock.speed))

    async def _work(self, context: Context) -> str:
        return await self.job.run(context)

    async def _outcome(self, task: asyncio.Task[str]) -> tuple[str, str]:
        try:
            await asyncio.wait({task}, timeout=self.job.timeout_s)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=STOP_S)
            return TIMEOUT, f"no result within {self.job.timeout_s:g} s"
        if task.cancelled():
            return FAILED, "cancelled"
        error = task.exception()
        if error is None:
            return OK, str(task.result())
        if not isinstance(error, JobFailed):
            logger.opt(exception=error).error("job {}: failed", self.job.name)
        return FAILED, str(error) or type(error).__name__

    def _finish(self, run: LastRun) -> LastRun:
        self._note(self.job, self.last, run)
        self.last = run
        return run


def _run(at_s: float, trigger: str, seconds: float, outcome: str, detail: str) -> LastRun:
    line = " ".join(detail.split())[:DETAIL]
    return LastRun(at_s=at_s, trigger=trigger, seconds=round(seconds, 3), outcome=outcome, detail=line)

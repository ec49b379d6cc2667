"""Runs the jobs: one task each, so that no job overlaps itself and none holds up another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from loguru import logger

from miner.alarms import Alarms
from miner.jobs.clock import Clock
from miner.jobs.job import FAILED, MANUAL, OK, TIMEOUT, Job, JobRow, LastRun
from miner.jobs.worker import Worker

SETTLE_S = 15.0
"""Nothing runs for so long after the start, which is busy enough. Seconds of the schedule's clock."""


class Books(Protocol):
    """Where runs and pauses are written down: `Ledger`."""

    def job_run(
        self, job: str, *, at_s: float, trigger: str, seconds: float, outcome: str, detail: str
    ) -> None: ...

    def job_pause(self, job: str, *, paused: bool) -> None: ...


class Scheduler:
    """All jobs of a miner.

    `last`    job -> its newest run, `paused` the names of the paused ones: from the ledger.
    Raises ValueError for two jobs of one name.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        books: Books,
        alarms: Alarms,
        clock: Clock,
        *,
        last: Mapping[str, LastRun] | None = None,
        paused: Iterable[str] = (),
    ) -> None:
        if len({job.name for job in jobs}) < len(jobs):
            raise ValueError("two jobs have one name")
        self._books, self._alarms, self._clock = books, alarms, clock
        known, held = last or {}, set(paused)
        self._workers = {
            job.name: Worker(job, clock, self._note, known.get(job.name), paused=job.name in held)
            for job in jobs
        }
        self._manual: set[asyncio.Task[LastRun]] = set()
        for worker in self._workers.values():
            if worker.last is not None:
                self._ring(worker.job, worker.last)

    def rows(self) -> list[JobRow]:
        return [worker.row() for worker in self._workers.values()]

    async def run(self) -> None:
        """Run all jobs for ever; what runs when this is cancelled is cancelled too."""
        await self._clock.sleep(SETTLE_S)
        try:
            async with asyncio.TaskGroup() as group:
                for worker in self._workers.values():
                    group.create_task(worker.loop())
        finally:
            for task in self._manual:
                task.cancel()
            await asyncio.gather(*(worker.stop() for worker in self._workers.values()))

    async def trigger(self, name: str, wait_s: float = 20.0) -> JobRow:
        """Run a job now; returns when it is done or after `wait_s`, then its row says that it is running.

        Raises ValueError for an unknown name or a job that runs already.
        """
        worker = self._worker(name)
        if worker.running:
            raise ValueError(f"{name} is running already")
        task = asyncio.create_task(worker.run(MANUAL))
        self._manual.add(task)
        task.add_done_callback(self._manual.discard)
        await asyncio.wait({task}, timeout=wait_s)
        if task.done():
            task.result()  # raises when its schedule, or somebody else, was a moment faster
        return worker.row()

    def pause(self, name: str) -> JobRow:
        """Also over a restart. Raises ValueError for an unknown name."""
        worker = self._worker(name)
        worker.pause()
        self._books.job_pause(name, paused=True)
        return worker.row()

    def resume(self, name: str) -> JobRow:
        """Raises ValueError for an unknown name."""
        worker = self._worker(name)
        worker.resume()
        self._books.job_pause(name, paused=False)
        return worker.row()

    def _worker(self, name: str) -> Worker:
        if name not in self._workers:
            raise ValueError(f"no job {name[:40]!r}; there is {', '.join(sorted(self._workers))}")
        return self._workers[name]

    def _note(self, job: Job, before: LastRun | None, run: LastRun) -> None:
        same = before is not None and before["detail"] == run["detail"]
        level = "WARNING" if run["outcome"] != OK else "DEBUG" if same else "INFO"
        logger.log(
            level, "job {}: {} in {:.1f} s: {}", job.name, run["outcome"], run["seconds"], run["detail"]
        )
        self._books.job_run(job.name, **run)
        self._ring(job, run)

    def _ring(self, job: Job, run: LastRun) -> None:
        key = f"job {job.name}"
        if run["outcome"] in (FAILED, TIMEOUT):
            self._alarms.ring(key, "warn", f"The job {job.name} did not do its work: {run['detail']}")
        elif run["outcome"] == OK:
            self._alarms.end(key)

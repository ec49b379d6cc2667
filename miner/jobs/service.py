"""The jobs as a part of the miner: built from its parts and its ledger, asked over the control socket."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

from loguru import logger

from miner.alarms import Alarms
from miner.chain.watch import DEREGISTERED, OK, STARTING, ChainWatch
from miner.control import Command
from miner.jobs.clock import Clock
from miner.jobs.job import Job, JobRow, LastRun, span
from miner.jobs.scheduler import Scheduler
from miner.ledger import Ledger, LedgerUnreadable, last_job_runs, paused_jobs

METAGRAPH = "metagraph"


class JobService:
    """`run` until cancelled. `rows` for whoever shows them."""

    def __init__(self, scheduler: Scheduler, watch: ChainWatch, refresh_s: float, clock: Clock) -> None:
        self._scheduler, self._watch = scheduler, watch
        self._refresh_s, self._clock = refresh_s, clock

    @property
    def commands(self) -> dict[str, Command]:
        """For the control socket."""
        return {
            "jobs": self.jobs,
            "job_run": self.job_run,
            "job_pause": self.job_pause,
            "job_resume": self.job_resume,
        }

    async def run(self) -> None:
        await self._scheduler.run()

    def rows(self) -> list[JobRow]:
        """All jobs, the metagraph's refresh first."""
        return [self._metagraph(), *self._scheduler.rows()]

    async def jobs(self) -> list[JobRow]:
        return self.rows()

    async def job_run(self, name: str) -> JobRow:
        """Run a job now; its row when it is done, or after 20 s. ValueError: no such job, or it runs."""
        if name != METAGRAPH:
            return await self._scheduler.trigger(name)
        await asyncio.shield(self._watch.refresh())
        return self._metagraph()

    async def job_pause(self, name: str) -> JobRow:
        """ValueError: no such job, or one that cannot be paused."""
        _can_pause(name)
        return self._scheduler.pause(name)

    async def job_resume(self, name: str) -> JobRow:
        _can_pause(name)
        return self._scheduler.resume(name)

    def _metagraph(self) -> JobRow:
        """`ChainWatch` keeps its own time; its state in a job's words."""
        status = self._watch.status()
        return JobRow(
            name=METAGRAPH,
            about="who is who on the subnet",
            when=f"every {span(self._refresh_s)}",
            running=status.state == STARTING,
            paused=False,
            last=None if status.age_s is None else self._refreshed(status.age_s),
            next_s=None,
        )

    def _refreshed(self, age_s: float) -> LastRun:
        status = self._watch.status()
        detail = status.reason or f"block {status.block}"
        outcome = "ok" if status.state in (OK, DEREGISTERED) else "failed"
        at_s = self._clock.now() - age_s
        return LastRun(at_s=at_s, trigger="schedule", seconds=0.0, outcome=outcome, detail=detail)


def create_jobs(
    jobs: Sequence[Job], ledger: Ledger, alarms: Alarms, watch: ChainWatch, *, refresh_s: float, speed: float
) -> JobService:
    """`speed` of the schedule's clock; `refresh_s` between two snapshots of the metagraph."""
    last, paused = _earlier(ledger)
    clock = Clock(speed)
    scheduler = Scheduler(jobs, ledger, alarms, clock, last=last, paused=paused)
    return JobService(scheduler, watch, refresh_s, clock)


def _earlier(ledger: Ledger) -> tuple[Mapping[str, LastRun], set[str]]:
    """Of a ledger that cannot be read nothing is known: every job is then due as on the first day."""
    try:
        found: Mapping[str, Any] = last_job_runs(ledger.path)
        return cast("Mapping[str, LastRun]", found), paused_jobs(ledger.path)
    except LedgerUnreadable as error:
        logger.error("earlier runs of the jobs are not known: {}", error)
        return {}, set()


def _can_pause(name: str) -> None:
    if name == METAGRAPH:
        raise ValueError("the metagraph's refresh cannot be paused: admission stands on it")

"""When a job is due, by APScheduler's triggers.

Only its triggers: its schedulers read the machine's clock themselves, so neither a test nor a rehearsal of
thirty days could go by another one.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from miner.jobs.job import Job

if TYPE_CHECKING:
    from apscheduler.triggers.base import BaseTrigger


class Timetable:
    """A job's due times. Times are seconds since 1970. Raises ValueError for a cron line that is none."""

    def __init__(self, job: Job) -> None:
        self._every_s = job.every_s
        self._trigger = _trigger(job)

    def due(self, last: float | None, now: float) -> float:
        """The next due time after a run at `last` (None: there was none), jitter included.

        In the past when it has been missed; infinity for a job that runs only by hand. Raises ValueError for
        a cron line that never comes true.
        """
        if self._trigger is None:
            return math.inf
        if last is None and self._every_s is not None:
            last = now - self._every_s
        before = None if last is None else _moment(min(last, now))  # a clock set back must not stop a job
        found = self._trigger.get_next_fire_time(before, _moment(now))
        if found is None:
            raise ValueError(f"{self._trigger} never comes true")
        return float(found.timestamp())


def _trigger(job: Job) -> BaseTrigger | None:
    from apscheduler.triggers.cron import CronTrigger  # late: the command line shows jobs and runs none
    from apscheduler.triggers.interval import IntervalTrigger

    jitter = job.jitter_s or None
    if job.every_s is not None:
        return IntervalTrigger(seconds=job.every_s, start_date=_moment(0), timezone=UTC, jitter=jitter)
    if job.cron is None:
        return None
    trigger = CronTrigger.from_crontab(job.cron, timezone=UTC)
    trigger.jitter = jitter
    return trigger


def _moment(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)

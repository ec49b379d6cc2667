"""What a job is, and what is told of one."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypedDict

SCHEDULE, MANUAL = "schedule", "manual"
OK, FAILED, TIMEOUT, MISSED = "ok", "failed", "timeout", "missed"
NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


class JobFailed(Exception):
    """Raised by a job that could not do its work; the message is its result, and no traceback is logged."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a run is told. `trigger` "schedule" or "manual"; `at_s` by the schedule's clock."""

    job: str
    trigger: str
    at_s: float


Run = Callable[[Context], Awaitable[str]]
"""Does the work and returns its result in a line. What holds up the event loop goes through `in_thread`."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job. Either `every_s` or `cron` says when; with neither it runs only by hand.

    `name`       a word for commands and the ledger; `about` a line for people.
    `every_s`    seconds between two starts, counted on over a restart; without an earlier run it is due at
                 once. `cron` five fields, UTC, weekdays by name (mon ... sun).
    `timeout_s`  seconds after which a run is cancelled.
    `jitter_s`   at most so many seconds are added to every due time.
    `grace_s`    a run that is later than this (the miner was down or asleep) is left out, and the next one
                 awaited; None: it is made up for, once, however many were missed.
    Raises ValueError for what is no job.
    """

    name: str
    run: Run
    every_s: float | None = None
    cron: str | None = None
    timeout_s: float = 60.0
    jitter_s: float = 0.0
    grace_s: float | None = None
    about: str = ""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name for a job")
        if self.every_s is not None and self.cron is not None:
            raise ValueError(f"{self.name}: a job has every_s or cron, not both")
        if self.timeout_s <= 0 or self.jitter_s < 0 or (self.every_s is not None and self.every_s <= 0):
            raise ValueError(f"{self.name}: every_s and timeout_s are above 0, jitter_s is not below")

    @property
    def when(self) -> str:
        """The schedule in words."""
        if self.every_s is not None:
            return f"every {span(self.every_s)}"
        return "by hand" if self.cron is None else f"cron {self.cron}"


class LastRun(TypedDict):
    """`at_s` of its start by the schedule's clock; `seconds` it took; `outcome` "ok", "failed", "timeout" or
    "missed" (left out: too late); `detail` its result in a line."""

    at_s: float
    trigger: str
    seconds: float
    outcome: str
    detail: str


class JobRow(TypedDict):
    """A job as commands and the page list it. `next_s` None while paused, or only by hand."""

    name: str
    about: str
    when: str
    running: bool
    paused: bool
    last: LastRun | None
    next_s: float | None


def span(seconds: float) -> str:
    """Seconds in the largest unit that divides them: 90 -> "90 s", 7200 -> "2 h"."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"

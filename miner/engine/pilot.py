"""How much of the cascade is asked under the load of this moment: the controller, for many threads."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loguru import logger

from miner.engine.forecast import RESERVE
from models.adapt import Adapter, Course, courses

KEPT = 8
"""Decisions that are remembered."""

BEFORE = 0.9
"""Part of the wait at which challenges are refused: by then members have been given up."""


def held_ms(p95_ms: float | None, within_s: float) -> float | None:
    """The p95 to hold where an answer must come `within_s`: what is asked for, or less, since nobody is
    refused while there are members to give up."""
    return None if p95_ms is None else min(p95_ms, BEFORE * (1.0 - RESERVE) * within_s * 1e3)


@dataclass(frozen=True, slots=True)
class CourseState:
    """`course` in force ("" where there is nothing to choose), `why` since the last of its `changes`; `log`
    the last of them, oldest first: wall-clock seconds, course, why."""

    course: str = ""
    why: str = ""
    changes: int = 0
    log: Sequence[Sequence[float | str]] = ()


class Pilot:
    """`order` of the members, the first `least` of which are always asked; `target_ms` the p95 to hold,
    `budget_ms` of compute a second, both None: everybody is asked under any load; `smaller` whether some
    member can do with less of a picture; `waiting_ms` how much work waits for the member that must speak."""

    def __init__(
        self,
        order: Sequence[str],
        least: int,
        target_ms: float | None,
        budget_ms: float | None = None,
        *,
        smaller: bool = False,
        waiting_ms: Callable[[], float] = lambda: 0.0,
        wall: Callable[[], float] = time.time,
    ) -> None:
        possible = courses(order, least, smaller=smaller)
        choice = len(possible) > 1 and (target_ms is not None or budget_ms is not None)
        target = math.inf if target_ms is None else target_ms
        self._adapter = Adapter(possible, target, budget_ms=budget_ms) if choice else None
        self._everything = possible[0]
        self._waiting_ms = waiting_ms
        self._wall = wall
        self._log: list[tuple[float, str, str]] = []
        self._lock = threading.Lock()

    def course(self, now: float) -> Course:
        """What is asked, and how, of whoever is served now."""
        if self._adapter is None:
            return self._everything
        with self._lock:
            changes = self._adapter.changes
            found = self._adapter.choose(now, self._waiting_ms())
            changed = self._adapter.last if self._adapter.changes != changes else None
            if changed is not None:
                self._log = [*self._log, (self._wall(), changed.course, changed.why)][-KEPT:]
        if changed is not None:
            logger.info("course of the cascade: {}: {}", changed.course, changed.why)
        return found

    def lets(self, tier: str, now: float) -> bool:
        """Whether `tier` may be asked now."""
        return self._adapter is None or tier in self.course(now).tiers

    @property
    def full(self) -> bool:
        """Whether batches are full under the course in force."""
        return self._adapter is not None and self._adapter.course.full

    def answered(self, now: float, total_ms: float, spent_ms: float) -> None:
        """An answer left, `total_ms` after its question came, for `spent_ms` of the members' compute."""
        if self._adapter is not None:
            with self._lock:
                self._adapter.answered(now, total_ms, spent_ms)

    def state(self) -> CourseState:
        if self._adapter is None:
            return CourseState()
        with self._lock:
            last = self._adapter.last
            why = last.why if last else ""
            return CourseState(self._adapter.course.name, why, self._adapter.changes, tuple(self._log))

"""How much of the cascade is asked under the load of this moment: the controller, for many threads."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from loguru import logger

from models.adapt import Adapter, courses


@dataclass(frozen=True, slots=True)
class CourseState:
    """`course` in force ("" where there is nothing to choose), `why` since the last of its `changes`."""

    course: str = ""
    why: str = ""
    changes: int = 0


class Pilot:
    """`order` of the members, the first `least` of which are always asked; `target_ms` the p95 to hold, None:
    everybody is asked under any load."""

    def __init__(self, order: Sequence[str], least: int, target_ms: float | None) -> None:
        choice = target_ms is not None and least < len(order)
        self._adapter = Adapter(courses(order, least), target_ms) if choice and target_ms else None
        self._lock = threading.Lock()

    def lets(self, tier: str, now: float) -> bool:
        """Whether `tier` may be asked now."""
        if self._adapter is None:
            return True
        with self._lock:
            changes = self._adapter.changes
            allowed = tier in self._adapter.choose(now).tiers
            changed = self._adapter.last if self._adapter.changes != changes else None
        if changed is not None:
            logger.info("course of the cascade: {}: {}", changed.course, changed.why)
        return allowed

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
            return CourseState(self._adapter.course.name, last.why if last else "", self._adapter.changes)

"""Adaptive configuration: how much of the cascade there is time for, held against a latency target and a
budget of compute: who is asked, how finely the pictures are shown, and how full batches are.

A pure controller: the engine tells it what answers took and asks it, per request and before each member,
which course is taken now. No clock, no thread in here. It goes a course cheaper at once in trouble, another
one two seconds later, and dearer only after a calm that doubles each time a dearer course did not last: load
that hovers around a limit causes no flapping.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

WINDOW_S = 2.0
"""Answers of this many seconds are looked at."""
LEAST = 5
"""Fewer answers in the window say nothing about a p95."""
CALM_S, MOST_CALM_S = 10.0, 160.0
"""How long it must be calm before a dearer course is tried: at first, and at most."""
CALM = 0.5
"""Calm is a p95 below this part of the target."""


SMALLER = 0.75
"""Share of a picture's side that is left to members that can do with less: 44 % fewer pixels, and as many
fewer tokens of a vision-language model."""


@dataclass(frozen=True, slots=True)
class Course:
    """A way through the cascade: `tiers` that may be asked, in order; `share` in (0, 1] of a picture's side
    that is shown to those that can do with less; `full` batches, whatever waits, instead of the smallest
    ones that are nearly as efficient."""

    name: str
    tiers: tuple[str, ...]
    share: float = 1.0
    full: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """A change of course at `at_s` (the engine's clock), and why, in a few words."""

    at_s: float
    course: str
    why: str


def courses(tiers: Sequence[str], least: int = 1, *, smaller: bool = False) -> tuple[Course, ...]:
    """All members; the same with full batches and, if `smaller` (somebody can do with less of a picture),
    smaller pictures; then one fewer at a time, down to the first `least` >= 1: dearest first."""
    if not 1 <= least <= len(tiers):
        raise ValueError(f"a course has from 1 to {len(tiers)} members, not {least}")
    share = SMALLER if smaller else 1.0
    cheap = [Course("whole, smaller", tuple(tiers), share, full=True)] if smaller else []
    shorter = [
        Course(f"first {n}", tuple(tiers[:n]), share, full=True) for n in range(len(tiers) - 1, least - 1, -1)
    ]
    return (Course("whole", tuple(tiers)), *cheap, *shorter)


class Adapter:
    """`courses` dearest first; `target_ms` the p95 to hold; `budget_ms` compute milliseconds per second that
    may be spent in the mean (none: no limit). Not thread-safe."""

    def __init__(
        self, courses: Sequence[Course], target_ms: float, *, budget_ms: float | None = None
    ) -> None:
        if not courses or target_ms <= 0 or (budget_ms is not None and budget_ms <= 0):
            raise ValueError("an adapter needs a course, a target above 0 ms and a budget above 0 ms, if any")
        self._courses = tuple(courses)
        self._target, self._budget = target_ms, budget_ms
        self._at = 0
        self._answers: deque[tuple[float, float, float]] = deque()
        self._since = -math.inf
        self._calm_from: float | None = None
        self._calm_s = CALM_S
        self.changes = 0
        self.last: Decision | None = None

    @property
    def course(self) -> Course:
        """The one in force."""
        return self._courses[self._at]

    def answered(self, now: float, total_ms: float, spent_ms: float) -> None:
        """An answer left after `total_ms` that cost `spent_ms` of compute."""
        self._answers.append((now, total_ms, spent_ms))

    def choose(self, now: float, waiting_ms: float = 0.0) -> Course:
        """The course for whoever is asked about now, where so much work waits: who waits for longer than the
        target will be answered above it, and to see that only then is too late."""
        while self._answers and self._answers[0][0] < now - WINDOW_S:
            self._answers.popleft()
        if trouble := self._trouble(waiting_ms):
            self._calm_from = None
            self._cheaper(now, trouble)
        elif self._calm(waiting_ms):
            self._dearer(now)
        else:
            self._calm_from = None
        return self.course

    def _trouble(self, waiting_ms: float) -> str | None:
        """What is wrong now or in the window, in words."""
        if waiting_ms > self._target:
            return f"{waiting_ms:.0f} ms of work wait, above {self._target:.0f} ms"
        p95 = self._p95()
        if p95 is not None and p95 > self._target:
            return f"p95 {p95:.0f} ms is above {self._target:.0f} ms"
        if self._budget is not None and self._spent() > self._budget:
            return f"{self._spent():.0f} ms of compute a second are above {self._budget:.0f} ms"
        return None

    def _calm(self, waiting_ms: float) -> bool:
        p95 = self._p95()
        within = self._budget is None or self._spent() <= CALM * self._budget
        return (p95 is None or p95 < CALM * self._target) and waiting_ms < CALM * self._target and within

    def _p95(self) -> float | None:
        if len(self._answers) < LEAST:
            return None
        ordered = sorted(total for _, total, _ in self._answers)
        return ordered[math.ceil(0.95 * len(ordered)) - 1]

    def _spent(self) -> float:
        """Compute milliseconds per second of the window."""
        return sum(spent for _, _, spent in self._answers) / WINDOW_S

    def _cheaper(self, now: float, why: str) -> None:
        """One step, then a window's time to see whether it helps."""
        if self._at + 1 == len(self._courses) or now < self._since + WINDOW_S:
            return
        if now < self._since + 2 * self._calm_s:  # the last change did not last: the next needs more calm
            self._calm_s = min(MOST_CALM_S, 2 * self._calm_s)
        self._turn(now, self._at + 1, why)

    def _dearer(self, now: float) -> None:
        if self._at == 0:
            self._forgive(now)
            return
        self._calm_from = now if self._calm_from is None else self._calm_from
        if now >= self._calm_from + self._calm_s:
            self._turn(now, self._at - 1, f"calm for {now - self._calm_from:.0f} s")

    def _forgive(self, now: float) -> None:
        """Once the whole cascade has lasted, the next trouble starts afresh."""
        if now > self._since + 2 * self._calm_s:
            self._calm_s = CALM_S

    def _turn(self, now: float, to: int, why: str) -> None:
        self._at, self._since, self._calm_from = to, now, None
        self._answers.clear()
        self.changes += 1
        self.last = Decision(now, self.course.name, why)

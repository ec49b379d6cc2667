"""When a child counts as hung, when its successor starts, and which child serves: rules without clocks or
processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from miner.engine.lane import Running

PATIENCE = 3.0
"""A batch may take this many times what nine of ten stay under before anybody wonders."""

SUSPECT_BEATS = 2.5
SUSPECT_BATCH_S = 2.0


class Watched(Protocol):
    """What is known of a child: when it was heard last, and the batch it was running then."""

    @property
    def heard_s(self) -> float: ...
    @property
    def running(self) -> Running | None: ...


def hung(child: Watched, now: float, hang_s: float) -> str | None:
    """Why it should be killed: silent, or one batch on the device, for longer than can be explained."""
    allowed = hang_s + (PATIENCE * child.running.expected_s if child.running else 0.0)
    if now - child.heard_s > allowed:
        return f"silent for {now - child.heard_s:.1f} s"
    if child.running and now - child.running.since > allowed:
        return (
            f"one batch for {now - child.running.since:.1f} s, {child.running.expected_s:.2f} s were expected"
        )
    return None


def suspect(child: Watched, now: float, heartbeat_s: float) -> bool:
    """Whether another child should serve meanwhile: long before `hung` is sure, requests are at stake."""
    if now - child.heard_s > SUSPECT_BEATS * heartbeat_s:
        return True
    running = child.running
    return running is not None and now - running.since > SUSPECT_BATCH_S + PATIENCE * running.expected_s


class Seat(Protocol):
    @property
    def usable(self) -> bool:
        """Its child is ready, alive and not suspected."""
        ...

    @property
    def rank(self) -> int:
        """Of its device: a smaller one is preferred."""
        ...


S = TypeVar("S", bound=Seat)


def choose(seats: Sequence[S], serving: S | None) -> S | None:
    """Who serves: whoever does now, unless it cannot or one on a better device can; changing costs more than
    order."""
    usable = [seat for seat in seats if seat.usable]
    return min(usable, key=lambda seat: (seat.rank, seat is not serving), default=None)


@dataclass(slots=True)
class Breaker:
    """Seconds to wait before the next child: doubling while they die young, a long pause after `most` in a
    row.

    A child that lived for `stable_s` wipes the slate. `young` counts the ones that did not.
    """

    first_s: float = 0.1
    longest_s: float = 10.0
    most: int = 5
    pause_s: float = 60.0
    stable_s: float = 30.0
    young: int = 0

    @property
    def open(self) -> bool:
        """Whether it gave up for now: a crash loop."""
        return self.young >= self.most

    def died(self, lived_s: float) -> float:
        """A child died after this many seconds; how long to wait."""
        self.young = 0 if lived_s >= self.stable_s else self.young + 1
        return self.pause_s if self.open else self._wait()

    def refused(self) -> float:
        """The system made no process: trying again costs nothing, so the pauses stay short."""
        self.young = min(self.young + 1, self.most - 1)
        return self._wait()

    def _wait(self) -> float:
        return float(min(self.longest_s, self.first_s * 2 ** max(0, self.young - 1)))

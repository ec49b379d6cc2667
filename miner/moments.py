"""When each stage of the start was done: which one makes validators wait."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

READY = "ready"


class Moments:
    """Counts from the moment at which this process began."""

    def __init__(self) -> None:
        self._began = time.monotonic() - age_s()
        self._reached: dict[str, float] = {}

    def reached(self, stage: str) -> None:
        """It is done now; the first time counts."""
        self._reached.setdefault(stage, time.monotonic())

    def seconds(self, more: Mapping[str, float]) -> dict[str, float]:
        """Stage -> seconds from the process's beginning to its end, in the order of time. `more` stages of
        other processes, in monotonic seconds of this host."""
        ends = sorted({**self._reached, **more}.items(), key=lambda each: each[1])
        return {stage: round(at - self._began, 3) for stage, at in ends}


def age_s() -> float:
    """Seconds since this process began, to a hundredth; 0 where the system does not tell."""
    stat = Path("/proc/self/stat")
    if not stat.exists():
        return 0.0
    ticks = int(stat.read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")

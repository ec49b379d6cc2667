"""Memory and descriptors of processes over time, and whether they grow: a slope with its interval."""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from harness.process import rss_mb

BLOCKS = 20
SETTLING = 0.25
"""The first part of a process's life is left out: caches and allocators fill."""
T_95 = 2.101
"""Student's t for 95 %, two-sided, with two degrees of freedom fewer than blocks."""


@dataclass(frozen=True, slots=True)
class Sample:
    at_s: float
    rss_mb: float
    files: int


@dataclass(frozen=True, slots=True)
class Trend:
    """Of one number over the `hours` that it was watched: first and last block's median, slope an hour with
    the ends of its 95 % interval; `levels` all the blocks' medians."""

    name: str
    hours: float
    first: float
    last: float
    slope: float
    low: float
    high: float
    levels: tuple[float, ...] = ()

    @property
    def growth(self) -> float:
        """What it surely grew by meanwhile: the interval's low end, over the hours."""
        return max(0.0, self.low * self.hours)


class Watch:
    """Samples processes: `now()` names them, name -> pid."""

    def __init__(self, now: Callable[[], Mapping[str, int]], every_s: float) -> None:
        self._now, self._every_s = now, every_s
        self._seen: dict[tuple[str, int], list[Sample]] = defaultdict(list)
        self.most: dict[str, float] = {}

    async def run(self) -> None:
        while True:
            for name, pid in self._now().items():
                self._look(name, pid)
            await asyncio.sleep(self._every_s)

    def _look(self, name: str, pid: int) -> None:
        try:
            files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            seen = Sample(time.monotonic(), rss_mb(pid), files)
        except (OSError, IndexError):  # it has just ended
            return
        self._seen[name, pid].append(seen)
        self.most[name] = max(self.most.get(name, 0.0), seen.rss_mb)

    def trends(self) -> list[Trend]:
        """Memory and descriptors of the longest-lived process of each name; none for what lived too short."""
        found = []
        for name in sorted({name for name, _ in self._seen}):
            samples = max((rows for (one, _), rows in self._seen.items() if one == name), key=len)
            samples = samples[int(len(samples) * SETTLING) :]
            for what, values in (
                ("MB", [each.rss_mb for each in samples]),
                ("descriptors", [float(each.files) for each in samples]),
            ):
                if trend := _trend(f"{name}: {what}", [each.at_s for each in samples], values):
                    found.append(trend)
        return found


def _trend(name: str, at_s: Sequence[float], values: Sequence[float]) -> Trend | None:
    """By least squares over the medians of blocks, which are as good as independent."""
    size = len(values) // BLOCKS
    if size < 1:
        return None
    starts = [size * n for n in range(BLOCKS)]
    hours = [fmean(at_s[n : n + size]) / 3600 for n in starts]
    levels = [median(values[n : n + size]) for n in starts]
    middle, level = fmean(hours), fmean(levels)
    spread = sum((hour - middle) ** 2 for hour in hours)
    slope = sum((x - middle) * (y - level) for x, y in zip(hours, levels, strict=True)) / spread
    rest = sum((y - level - slope * (x - middle)) ** 2 for x, y in zip(hours, levels, strict=True))
    half = T_95 * math.sqrt(rest / (BLOCKS - 2) / spread)
    return Trend(
        *(name, hours[-1] - hours[0], levels[0], levels[-1], slope, slope - half, slope + half),
        levels=tuple(round(each, 1) for each in levels),
    )

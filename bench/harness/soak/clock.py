"""A wall clock that can be stepped from outside: what a wrong clock, or NTP, does to a whole process."""

from __future__ import annotations

import mmap
import struct
import time
from pathlib import Path

_OFFSET = struct.Struct("=q")


class Step:
    """Nanoseconds by which the clock is off, in a file that processes share."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(_OFFSET.pack(0))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _OFFSET.size)

    def set(self, seconds: float) -> None:
        _OFFSET.pack_into(self._map, 0, round(seconds * 1e9))

    def ns(self) -> int:
        return int(_OFFSET.unpack_from(self._map)[0])


def wear(step: Step) -> None:
    """From now on this process's wall clock is off by `step`. What was imported before keeps the true one."""
    true_s, true_ns = time.time, time.time_ns
    time.time = lambda: true_s() + step.ns() / 1e9
    time.time_ns = lambda: true_ns() + step.ns()

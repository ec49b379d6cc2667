"""How much room the data folder's disk has: below a limit capture and backups stop; answering never does."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

MB = 10**6
AGAIN = 1.25
"""There is room again at so many times the limit, so that it does not flicker."""
FRESH_S = 2.0


class Disk:
    """`min_free` bytes is the limit (0: there is always room); the folder itself may not be there yet."""

    def __init__(
        self,
        folder: Path,
        min_free: int,
        *,
        free: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._min_free = Path(folder), min_free
        self._free, self._clock = free, clock
        self._low, self._looked_at = False, -FRESH_S

    @property
    def low(self) -> bool:
        """Whether to write nothing that can be done without. Cheap: the disk is asked every two seconds."""
        if self._clock() - self._looked_at >= FRESH_S:
            self.look()
        return self._low

    def look(self) -> int:
        """Free bytes now; a disk that cannot be asked has none."""
        self._looked_at = self._clock()
        try:
            free = self._free(_existing(self._folder))
        except OSError:
            free = 0
        self._low = free < self._min_free * (AGAIN if self._low else 1.0)
        return free


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    path = folder.absolute()
    return next((each for each in (path, *path.parents) if each.exists()), path)

"""What was spent today, in a file that several processes may share and that survives a restart."""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

Change = Callable[[str, float], tuple[str, float]]
"""(UTC day "2026-11-23", money spent that day) before -> after. May raise: nothing changes then."""


class Purse(Protocol):
    """Where the day's sum is kept."""

    def change(self, work: Change) -> tuple[str, float]:
        """Read it, apply `work`, write it; nobody else changes it meanwhile. What was written. Raises what
        `work` raises, and OSError or ValueError when it cannot be kept: unwritten money is not spent."""
        ...


class PurseFile:
    """JSON: {"day": ..., "spent": ...}. An absent or empty file means that nothing was spent."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def change(self, work: Change) -> tuple[str, float]:
        """See `Purse`. A file that holds something else is left alone: ValueError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            day, spent = work(*_parsed(file.read()))
            file.seek(0)
            file.write(json.dumps({"day": day, "spent": spent}))
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        return day, spent


def _parsed(text: str) -> tuple[str, float]:
    if not text.strip():
        return "", 0.0
    try:
        held = json.loads(text)
        day, spent = str(held["day"]), float(held["spent"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("it does not hold what was spent: remove it to start anew") from error
    if not (math.isfinite(spent) and spent >= 0):
        raise ValueError(f"{spent} cannot have been spent")
    return day, spent

"""rewards.log: a line per epoch and per piece of news, for `tail -f`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from loguru import logger

NAME = "rewards.log"
MAX_BYTES = 4 * 2**20


class Diary:
    """Appends to `path`, and begins anew past 4 MiB, keeping one older file. A bad disk costs lines only."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        self._failing = False

    def write(self, text: str) -> None:
        """One line, after the time."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self._clock()))
        try:
            self._append(f"{stamp}  {' '.join(text.split())}\n")
        except OSError as error:
            if not self._failing:
                logger.warning("{} cannot be written: {}", self._path, error)
            self._failing = True
        else:
            self._failing = False

    def _append(self, line: str) -> None:
        self._path.touch(mode=0o600)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line)
            size = file.tell()
        if size >= MAX_BYTES:
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))

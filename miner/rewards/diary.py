"""rewards.log: a line per epoch and per piece of news, for `tail -f`."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from loguru import logger

from miner.records import Exchange

NAME = "rewards.log"
MAX_BYTES = 4 * 2**20
WAITING = 1_000
"""Most lines that wait for a disk that hangs; past it the oldest are lost."""


class Diary:
    """Lines for `path`, which begins anew past 4 MiB, keeping one older file. A bad disk costs lines only.

    `write` is for the event loop: it touches no disk. `flush` is for the thread that may wait for one.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        self._waiting: deque[str] = deque(maxlen=WAITING)
        self._failing = False

    def write(self, text: str) -> None:
        """One line, after the time. It reaches the file with the next `flush`."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self._clock()))
        self._waiting.append(f"{stamp}  {' '.join(text.split())}\n")

    def flush(self) -> None:
        """Write what waits. A disk that refuses it is said once; the lines are lost."""
        text = "".join(self._waiting.popleft() for _ in range(len(self._waiting)))
        if not text:
            return
        try:
            self._append(text)
        except OSError as error:
            if not self._failing:
                logger.warning("{} cannot be written: {}", self._path, error)
            self._failing = True
        else:
            self._failing = False

    def _append(self, text: str) -> None:
        self._path.touch(mode=0o600)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(text)
            size = file.tell()
        if size >= MAX_BYTES:
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))


class DiarySink:
    """The diary's place in the recorder's round: exchanges do not concern it."""

    def __init__(self, diary: Diary) -> None:
        self._diary = diary

    def write(self, batch: Sequence[Exchange]) -> None:
        self._diary.flush()

"""A reviewer's labels on their way into the ledger: on disk before the reviewer is told so."""

from __future__ import annotations

import asyncio
import math
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from miner.capture.store import checked
from miner.control import Command
from miner.ledger import Ledger, LedgerUnreadable
from miner.ledger.labels import LABELS, REVIEW
from miner.review.line import as_json, line

T = TypeVar("T")
MOST = 200
MOST_SECONDS = 86_400.0


class Desk:
    """Takes labels for kept pictures. `reviewers` how many must agree.

    The futures are done when the label is on disk; they raise ValueError for a picture that is not kept, and
    sqlite3.Error or OSError when the disk refuses.
    """

    def __init__(
        self, ledger: Ledger, *, reviewers: int = 1, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._ledger, self._reviewers, self._clock_ns = ledger, reviewers, clock_ns

    def next(self, limit: int, reviewer: str = "") -> dict[str, Any]:
        """{"items": [...], "waiting": n}, see `review.line`. Raises LedgerUnreadable or ValueError."""
        if type(limit) is not int or not 0 <= limit <= MOST:
            raise ValueError(f"limit is a whole number from 0 to {MOST}")
        return as_json(line(self._ledger.path, limit, reviewer, self._reviewers))

    def label(self, sha256: str, label: str, reviewer: str, seconds: float | None = None) -> Future[None]:
        """What a person sees in a picture: "roadwork", "none" or "unsure". Raises ValueError."""
        if label not in LABELS:
            raise ValueError(f"a label is one of {', '.join(LABELS)}")
        about = (checked(sha256), label, REVIEW, _reviewer(reviewer), _seconds(seconds))
        row = (self._clock_ns(), self._ledger.hotkey, *about)

        def work(db: sqlite3.Connection) -> None:
            if not db.execute("SELECT 1 FROM captures WHERE sha256 = ?", (sha256,)).fetchone():
                raise ValueError(f"no picture {sha256} is kept")
            db.execute("INSERT INTO labels VALUES (?,?,?,?,?,?,?,0)", row)

        return self._ledger.run(work)

    def undo(self, reviewer: str) -> Future[str | None]:
        """Take back the reviewer's newest label: its picture's sha256, None without. Raises ValueError."""
        name = _reviewer(reviewer)

        def work(db: sqlite3.Connection) -> str | None:
            newest = db.execute(
                "SELECT rowid, sha256 FROM labels WHERE source = ? AND reviewer = ? AND undone = 0 "
                "ORDER BY at_ns DESC, rowid DESC LIMIT 1",
                (REVIEW, name),
            ).fetchone()
            if newest is None:
                return None
            db.execute("UPDATE labels SET undone = 1 WHERE rowid = ?", (newest[0],))
            return str(newest[1])

        return self._ledger.run(work)

    @property
    def commands(self) -> dict[str, Command]:
        """For the control socket and the page."""

        async def review_next(limit: int = 20, reviewer: str = "") -> dict[str, Any]:
            try:
                return await asyncio.to_thread(self.next, limit, reviewer)
            except LedgerUnreadable as error:
                raise ValueError(str(error)) from error

        async def review_label(
            sha256: str, label: str, reviewer: str, seconds: float | None = None
        ) -> dict[str, str]:
            await _on_disk(self.label(sha256, label, reviewer, seconds))
            return {"sha256": sha256, "label": label}

        async def review_undo(reviewer: str) -> str | None:
            return await _on_disk(self.undo(reviewer))

        return {"review_next": review_next, "review_label": review_label, "review_undo": review_undo}


async def _on_disk(done: Future[T]) -> T:
    try:
        return await asyncio.wrap_future(done)
    except (sqlite3.Error, OSError) as error:
        raise ValueError(f"the ledger's disk refuses: {error}") from error


def _reviewer(name: str) -> str:
    if not isinstance(name, str) or not 1 <= len(name) <= 64 or not name.isprintable():
        raise ValueError("a reviewer's name has 1 to 64 printable characters")
    return name


def _seconds(seconds: float | None) -> float | None:
    if seconds is None:
        return None
    if type(seconds) not in (int, float) or not math.isfinite(seconds) or seconds < 0:
        raise ValueError("seconds is a number from 0")
    return min(float(seconds), MOST_SECONDS)

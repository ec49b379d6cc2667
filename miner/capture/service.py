"""Capture in a running miner: takes what the wire offers at once, and keeps it in a thread of its own."""

from __future__ import annotations

import asyncio
import queue
import random
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

from loguru import logger

from miner.capture.child import WorkerFailed
from miner.capture.figures import Figures
from miner.capture.keeper import Keeper, Offer
from miner.capture.policy import Rates, applying, choose
from miner.capture.switch import Switch
from miner.control import Command
from miner.disk import Disk
from miner.ledger import LedgerUnreadable
from miner.records import Exchange
from models.core import Verdict

P = ParamSpec("P")
T = TypeVar("T")

WAITING = 32
"""Most pictures that wait for the thread, up to 4 MiB each; past it new ones are dropped, and counted."""
TICK_S, REST_S = 1.0, 60.0
BACKOFF_S = (0.5, 30.0)
DISK_LOW = "the disk is nearly full"


class Capture:
    """`offer` is the wire's side; everything slow happens in the thread that `start` begins.

    `drifting` is set by whoever watches the stream: the drift policy applies while it is true.
    `note(kind, data)` writes an event down. `most_bytes` and `days` are the bounds, for `status`.
    """

    def __init__(
        self,
        keeper: Keeper,
        switch: Switch,
        disk: Disk,
        rates: Rates,
        *,
        most_bytes: int,
        days: float,
        unlabelled: Callable[[], int],
        note: Callable[[str, Mapping[str, Any]], object],
        draw: Callable[[], float] | None = None,
    ) -> None:
        self.keeper, self.switch, self.drifting = keeper, switch, False
        self.dropped = 0
        self._disk, self._rates = disk, rates
        self._most_bytes, self._days, self._unlabelled, self._note = most_bytes, days, unlabelled, note
        self._draw = draw or random.SystemRandom().random
        self._queue: queue.Queue[Offer] = queue.Queue(WAITING)
        self._stopped, self._resting_s, self._failures = "", 0.0, 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    def offer(self, exchange: Exchange, views: Sequence[bytes], verdict: Verdict) -> None:
        """Take an answer that is out, with its pictures: a coin per policy and an append. Never raises."""
        if not self.switch.on or self._stopped or not views or not verdict.spoken:
            return
        choice = choose(applying(verdict, self._rates, drifting=self.drifting), self._draw)
        if choice is None:
            return
        about = {
            "path": list(verdict.path),
            "evidence": dict(verdict.evidence),
            "versions": dict(verdict.versions),
        }
        try:
            self._queue.put_nowait(Offer(exchange, views[0], choice, about))
        except queue.Full:
            self.dropped += 1

    def start(self) -> None:
        self.switch.announce()
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """What waits is dropped. Idempotent."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        self.keeper.close()

    def figures(self) -> Figures:
        """For metrics: nothing is read from disk."""
        shelf, counts = self.keeper.shelf, dict(self.keeper.counts)
        return Figures(self.switch.on and not self._stopped, len(shelf), shelf.bytes, counts, self.dropped)

    def status(self) -> dict[str, Any]:
        """For commands and the page. `bytes` and `count` of what is kept now; `oldest_s` wall clock or None;
        `stopped` why nothing is kept although it is on, else ""; `outcomes` of this run."""
        shelf = self.keeper.shelf
        oldest = shelf.oldest_ns
        return {
            "enabled": self.switch.on,
            "count": len(shelf),
            "bytes": shelf.bytes,
            "most_bytes": self._most_bytes,
            "days": self._days,
            "unlabelled": self._unlabelled(),
            "oldest_s": None if oldest is None else oldest / 1e9,
            "stopped": self._stopped if self.switch.on else "",
            "waiting": self._queue.qsize(),
            "dropped": self.dropped,
            "outcomes": dict(self.keeper.counts),
        }

    def set(self, enabled: bool) -> dict[str, Any]:
        """Switch it, for later starts too; off drops what waits. Raises OSError when that cannot be kept."""
        self.switch.set(enabled)
        if not enabled:
            self._empty()
        self._note("capture", {"enabled": enabled})
        return {"enabled": enabled}

    def purge(self) -> dict[str, int]:
        """Delete all pictures; see `Keeper.purge`."""
        self._empty()
        proof = self.keeper.purge()
        self._note("capture_purged", proof)
        logger.warning("capture: {files} files and {rows} rows deleted, {left} left", **proof)
        return proof

    @property
    def commands(self) -> dict[str, Command]:
        """For the control socket and the page."""

        async def capture_status() -> dict[str, Any]:
            return await _told(self.status)

        async def capture_set(enabled: bool) -> dict[str, Any]:
            if not isinstance(enabled, bool):
                raise ValueError("enabled is true or false")
            return await _told(self.set, enabled)

        async def capture_purge() -> dict[str, int]:
            return await _told(self.purge)

        return {"capture_status": capture_status, "capture_set": capture_set, "capture_purge": capture_purge}

    def _empty(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._queue.get_nowait()

    def _run(self) -> None:
        self._guarded(self.keeper.load)
        self._guarded(self.keeper.expire)
        while not self._ending.is_set():
            self._look()
            with suppress(queue.Empty):
                self.work(self._queue.get(timeout=TICK_S))

    def work(self, offer: Offer) -> None:
        """Keep one picture, whatever goes wrong with it. The thread's own; tests call it too."""
        if not self.switch.on or self._disk.low:
            return
        try:
            self.keeper.keep(offer)
            self._failures = 0
        except WorkerFailed as error:
            logger.warning("capture: a picture is left out, its worker failed: {}", error)
            self._ending.wait(min(BACKOFF_S[1], BACKOFF_S[0] * 2**self._failures))
            self._failures = min(self._failures + 1, 10)
        except OSError as error:
            self._resting_s = REST_S
            self._stop_because(f"the disk refuses: {error.strerror or error}")
        except Exception:  # noqa: BLE001 - the edge of this thread: one picture must not end it
            logger.opt(exception=True).error("capture: a picture is left out")

    def _look(self) -> None:
        """Stop while the disk is nearly full, or has refused a picture less than a minute ago."""
        if self._resting_s > 0:
            self._resting_s -= TICK_S
        elif self._disk.low:
            self._stop_because(DISK_LOW)
        elif self._stopped:
            logger.info("capture goes on: there is room again")
            self._stopped = ""

    def _stop_because(self, why: str) -> None:
        if self._stopped != why and self.switch.on:
            logger.warning("capture stops for now: {}; answering goes on", why)
            self._note("capture_stopped", {"why": why})
        self._stopped = why

    def _guarded(self, work: Callable[[], object]) -> None:
        try:
            work()
        except (LedgerUnreadable, OSError) as error:
            logger.warning("capture: {}", error)


async def _told(work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """The result of blocking work; what its disk says becomes a sentence for the asker."""
    try:
        return await asyncio.to_thread(work, *given, **named)
    except (OSError, sqlite3.Error, LedgerUnreadable) as error:
        raise ValueError(f"not done: {error}") from error

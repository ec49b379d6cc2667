"""Keeps pictures within the bounds: files, rows and the shelf change together. Everything here blocks."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any, Protocol

from loguru import logger

from miner.capture.child import Refused, Scaled, WorkerFailed
from miner.capture.policy import Choice
from miner.capture.shelf import Bounds, Entry, Shelf
from miner.capture.store import Store
from miner.ledger import Ledger, LedgerUnreadable
from miner.ledger.kept import forgotten, gold, kept, purged
from miner.records import Exchange

PURGE_S = 25.0
KEPT, DUPLICATE, REFUSED, FAILED, NO_ROOM = "kept", "duplicate", "refused", "failed", "no_room"


class Scaler(Protocol):
    """`capture.child.Child`."""

    def scale(self, picture: bytes) -> Scaled: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Offer:
    """A picture that a policy wants kept. `about` goes into the row."""

    exchange: Exchange
    picture: bytes
    choice: Choice
    about: Mapping[str, Any]


class Keeper:
    """`counts` what became of offers: kept, duplicate, refused (no picture), failed (worker), no_room.

    `duplicate_bits` see the setting. Any thread may call any method; one works at a time.
    """

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        bounds: Bounds,
        scaler: Scaler,
        *,
        duplicate_bits: int = 4,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.shelf = Shelf()
        self._store, self._ledger, self._bounds, self._scaler = store, ledger, bounds, scaler
        self._bits, self._clock_ns, self._loaded = duplicate_bits, clock_ns, False
        self._lock = threading.Lock()

    def load(self) -> None:
        """Take up what earlier runs kept. Files without a row and rows without a file go: a kill came between
        the two. Raises LedgerUnreadable or OSError."""
        with self._lock:
            self._load()

    def _load(self) -> None:
        rows = kept(self._ledger.path)
        there = {path.relative_to(self._store.folder).as_posix() for path in self._store.files()}
        self.shelf = Shelf(row for row in rows if row.file in there)
        lost = [(row.sha256, row.at_ns) for row in rows if row.file not in there]
        if lost:
            self._ledger.run(forgotten(lost))
        for file in there - {row.file for row in rows}:
            (self._store.folder / file).unlink(missing_ok=True)
        self._loaded = True

    def keep(self, offer: Offer) -> str:
        """What became of it, one of the words in `counts`. Raises OSError when the disk refuses it, and
        WorkerFailed when the picture took the worker with it."""
        with self._lock:
            try:
                outcome = self._keep(offer)
            except WorkerFailed:
                self.counts[FAILED] += 1
                raise
            except Refused as error:
                logger.debug("a picture is not kept: {}", error)
                outcome = REFUSED
            self.counts[outcome] += 1
            return outcome

    def _keep(self, offer: Offer) -> str:
        if not self._loaded and not self._loads():
            return NO_ROOM
        sha256 = offer.exchange.sha256
        if sha256 in self.shelf:
            return DUPLICATE
        scaled = self._scaler.scale(offer.picture)
        if self.shelf.alike(scaled.mark, self._bits):
            return DUPLICATE
        size = self._store.size(scaled.jpeg)
        if size > self._bounds.bytes or not self._make_room(size):
            return NO_ROOM
        file, size = self._store.write(sha256, scaled.jpeg)
        self.shelf.put(sha256, Entry(offer.exchange.at_ns, size, scaled.mark))
        self._ledger.capture(_row(offer, scaled, file, size))
        return KEPT

    def _loads(self) -> bool:
        """Whether what lies there already is known now: without it no bound holds."""
        try:
            self._load()
        except LedgerUnreadable as error:
            logger.warning("nothing is kept: {}", error)
            return False
        return True

    def _make_room(self, size: int) -> bool:
        """Remove what stands in the way; False when the ledger does not say which pictures are labelled."""
        if not self.shelf.full(self._bounds, more=1, size=size):
            return True
        try:
            precious = gold(self._ledger.path)
        except LedgerUnreadable as error:
            logger.warning("nothing is kept while the bounds are reached: {}", error)
            return False
        self._remove(self.shelf.victims(self._bounds, precious, more=1, size=size))
        return True

    def expire(self) -> int:
        """Let go what has become too old, and what no longer fits smaller bounds; the number of pictures.
        Raises LedgerUnreadable or OSError."""
        with self._lock:
            if not self._loaded:
                self._load()
            precious = gold(self._ledger.path)
            old = self.shelf.expired(self._bounds, self._clock_ns(), precious)
            self._remove(old)
            more = self.shelf.victims(self._bounds, precious, more=0, size=0)
            self._remove(more)
            return len(old) + len(more)

    def _remove(self, names: list[str]) -> None:
        gone = []
        for sha256 in names:
            self._store.remove(sha256)
            gone.append((sha256, self.shelf.drop(sha256).at_ns))
        if gone:
            self._ledger.run(forgotten(gone))

    def purge(self) -> dict[str, int]:
        """Delete every file, every row and the key, see `purge`."""
        with self._lock:
            self.shelf = Shelf()
            return purge(self._store, self._ledger)

    def close(self) -> None:
        with self._lock:
            self._scaler.close()


def purge(store: Store, ledger: Ledger) -> dict[str, int]:
    """Delete every file, every row and the key: {"files", "rows", "left"}, counted, not assumed: `left` walks
    the folder and counts rows again. Needs a ledger that somebody writes, and nothing that is optional.

    Raises OSError, sqlite3.Error, or TimeoutError when the ledger's disk hangs.
    """
    files = store.clear()
    try:
        before, after = ledger.run(purged).result(PURGE_S)
    except CancelledError as error:
        raise TimeoutError("the ledger was closed meanwhile") from error
    return {"files": files, "rows": before, "left": after + sum(1 for _ in store.files())}


def _row(offer: Offer, scaled: Scaled, file: str, size: int) -> dict[str, Any]:
    exchange, choice = offer.exchange, offer.choice
    return {
        "sha256": exchange.sha256,
        "at_ns": exchange.at_ns,
        "hotkey": exchange.hotkey,
        "challenge": exchange.id,
        "reason": ",".join(choice.reasons),
        "propensity": choice.propensity,
        "prediction": exchange.prediction,
        "log_odds": exchange.log_odds,
        "file": file,
        "size": size,
        "phash": f"{scaled.mark:016x}",
        "data": {"policies": dict(choice.policies), **offer.about, **scaled.about},
    }

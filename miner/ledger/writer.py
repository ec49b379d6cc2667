"""The one writer of the ledger: no single row stops it, and what the disk refuses is tried again."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from loguru import logger

from miner.ledger.access import prove_writable
from miner.ledger.backup import FOLDER, BackupError, backups, restore
from miner.ledger.changing import copy_before
from miner.ledger.rows import Row, to_row, to_text
from miner.ledger.schema import (
    AGEING,
    CAPTURE_COLUMNS,
    CAPTURE_INSERT,
    CHALLENGE_INSERT,
    EVENT_INSERT,
    HEALTH_INSERT,
    JOB_PAUSE_INSERT,
    JOB_RUN_INSERT,
    LABEL_INSERT,
    PAYOUT_INSERT,
    SLICE_INSERT,
    LedgerTooNew,
    migrate,
)
from miner.records import Exchange

T = TypeVar("T")
Errand = Callable[[sqlite3.Connection], T]

BACKLOG = 20_000
"""Most rows that wait while the disk refuses them; past it the oldest are lost, and counted."""
PRUNE_EVERY_NS = 3600 * 10**9
PRUNE_ROWS = 5_000
STEPPED_NS = 3600 * 10**9
"""A wall clock that has moved this much against the time since our start is not believed: nothing is pruned
by it."""
CHECK_BYTES = 64 * 2**20
"""A larger file is not checked page by page at start: damage then shows at the first write that meets it."""
LOG_PAGES = 4_000
"""Pages of 4 KiB in the log before they are copied into the file: the pages of an index come again and again,
and are then copied once."""
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
BAD_ROW = (ValueError, OverflowError, TypeError, sqlite3.InterfaceError, sqlite3.ProgrammingError)


class Ledger:
    """What was asked, answered, swapped and earned, in one SQLite file (WAL, synchronous=NORMAL).

    `write` is called by one thread only (the recorder's); the others (`event`, `payout`, ...) may be called
    from any thread, cost an append, and reach the disk with the next `write`.

    `path`      the file; its folder is made. Created readable by its owner only: it holds addresses.
    `hotkey`    ours; stamped on events and health rows.
    `days`      rows older than this are pruned, a few thousand at a time; payouts stay.
    `damage`    a sentence about the file that was found damaged and set aside; "" when none was.
    `uptime`    seconds that pass whatever the wall clock says.
    Raises LedgerTooNew at once; any other trouble of the disk is logged and tried again with each `write`.
    """

    def __init__(
        self,
        path: Path,
        *,
        hotkey: str = "",
        days: float = 90,
        clock_ns: Callable[[], int] = time.time_ns,
        uptime: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = Path(path)
        self.hotkey = hotkey
        self.written = 0
        self.lost = 0
        self.pruned = 0
        self.days = days
        self.damage = ""
        self._age_ns = int(days * 86400 * 10**9)
        self._clock_ns, self._uptime = clock_ns, uptime
        self._born_ns = clock_ns() - int(uptime() * 10**9)
        self._waiting: deque[tuple[str, Row]] = deque()
        self._errands: deque[tuple[Errand[Any], Future[Any]]] = deque()
        self._lock = threading.Lock()
        self._next_prune_ns = 0
        self._db: sqlite3.Connection | None = None
        try:
            self._open()
        except (OSError, sqlite3.Error) as error:
            logger.error("the ledger {} cannot be opened, rows wait in memory: {}", self.path, error)

    @property
    def backlog(self) -> int:
        """Rows that wait for the disk."""
        return len(self._waiting)

    def event(self, kind: str, data: Mapping[str, Any] | None = None, hotkey: str = "") -> None:
        """Note that something happened: "start", "stop", "swap", "chain", ... `hotkey` if not our first."""
        self._queue(EVENT_INSERT, (self._clock_ns(), hotkey or self.hotkey, kind, to_text(dict(data or {}))))

    def payout(self, row: Any) -> None:
        """What an epoch paid: a dataclass (`rewards.Payout`) or a mapping. One row per hotkey and "block".

        Needs "block", the epoch's; "hotkey" and "at_ns" default to ours and now.
        """
        data = asdict(row) if is_dataclass(row) and not isinstance(row, type) else dict(row)
        data = {"at_ns": self._clock_ns(), "hotkey": self.hotkey, **data}
        self._queue(PAYOUT_INSERT, (data["at_ns"], data["hotkey"], data["block"], to_text(data)))

    def subnet_health(self, row: Mapping[str, Any]) -> None:
        """How the subnet does (burn share, validators active, ...)."""
        self._queue(HEALTH_INSERT, (self._clock_ns(), self.hotkey, to_text(dict(row))))

    def job_run(
        self, job: str, *, at_s: float, trigger: str, seconds: float, outcome: str, detail: str
    ) -> None:
        """What became of a job. `at_s` of its start, seconds since 1970."""
        row = (round(at_s * 1e9), self.hotkey, job, trigger, seconds, outcome, detail)
        self._queue(JOB_RUN_INSERT, row)

    def job_pause(self, job: str, *, paused: bool) -> None:
        """Whether the job is paused from now on (a resumed one keeps a row with the time 0)."""
        self._queue(JOB_PAUSE_INSERT, (job, self._clock_ns() if paused else 0))

    def capture(self, row: Mapping[str, Any]) -> None:
        """A picture that was kept: the columns of `captures` by name, "data" a mapping."""
        plain = [row[name] for name in CAPTURE_COLUMNS[:-1]]
        self._queue(CAPTURE_INSERT, (*plain, to_text(row["data"])))

    def label(self, sha256: str, label: str, *, source: str, reviewer: str, at_ns: int | None = None) -> None:
        """What a picture shows, as a machine says; once for each who says it (people's: `review.desk`)."""
        at_ns = self._clock_ns() if at_ns is None else at_ns
        about = (sha256, label, source, reviewer)
        self._queue(LABEL_INSERT, (at_ns, self.hotkey, *about, *about))

    def slice(self, tier: str, version: str, part: Mapping[str, Any]) -> None:
        """How a version does on a part of the labelled traffic: {"name", "count", "accuracy" in [0, 1], "mcc"
        in [-1, 1] or None}."""
        figures = (part["name"], part["count"], part["accuracy"], part["mcc"])
        self._queue(SLICE_INSERT, (self._clock_ns(), self.hotkey, tier, version, *figures, "{}"))

    def run(self, work: Errand[T]) -> Future[T]:
        """Have `work` done with the connection by the writing thread, at its next `write`, outside of any
        transaction. The future is done when it is on disk; it raises what `work` raises, or sqlite3.Error or
        OSError when the disk refuses. Any thread."""
        done: Future[T] = Future()
        self._errands.append((work, done))
        return done

    def write(self, batch: Sequence[Exchange]) -> None:
        """Put the batch and whatever waits on disk in one transaction.

        Raises OSError or sqlite3.Error when the disk refuses: the rows then wait for a later call.
        A damaged file is renamed, and its newest sound copy takes its place, or a fresh one begins.
        """
        for exchange in batch:
            self._queue(CHALLENGE_INSERT, to_row(exchange))
        try:
            self._write_rows()
        finally:
            self._run_errands()

    def _write_rows(self) -> None:
        self._ask_first()
        try:
            self._flush()
        except sqlite3.DatabaseError as error:
            self._close()
            if not _is_damage(error):
                raise
            self._set_aside(error)
            self._flush()

    def _ask_first(self) -> None:
        """SQLite keeps the index of its log in a memory map: on a disk that has become read-only, writing
        there is no error but the end of the process (SIGBUS). Raises OSError when the disk refuses."""
        if self._db is None:
            return
        try:
            prove_writable(self.path)
        except FileNotFoundError:  # somebody has deleted it: what was in it is gone, what comes need not be
            self._close()

    def prune(self) -> None:
        """Let old rows go with the next `write` rather than within the hour. Any thread may ask."""
        self._next_prune_ns = 0

    def close(self) -> None:
        """Write what waits and close the file. Raises as `write` does."""
        try:
            self.write(())
        finally:
            self._close()

    def _queue(self, insert: str, row: Row) -> None:
        with self._lock:
            self._waiting.append((insert, row))
            if len(self._waiting) > BACKLOG:
                self._drop_oldest()

    def _drop_oldest(self) -> None:
        """Challenges go first: payouts and events are few and cannot be had again."""
        index = next((i for i, (insert, _) in enumerate(self._waiting) if insert is CHALLENGE_INSERT), 0)
        del self._waiting[index]
        self.lost += 1

    def _run_errands(self) -> None:
        for work, done in [self._errands.popleft() for _ in range(len(self._errands))]:
            if done.set_running_or_notify_cancel():
                self._run_errand(work, done)

    def _run_errand(self, work: Errand[T], done: Future[T]) -> None:
        try:
            self._ask_first()
            db = self._db or self._open()
            self._flush()  # what was queued before it comes before it
            try:
                done.set_result(work(db))
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")
        except Exception as error:  # noqa: BLE001 - whoever asked is told; this thread has rows to write
            if not done.done():
                done.set_exception(error)

    def _flush(self) -> None:
        if not self._waiting and not self._prune_due():
            return
        db = self._db or self._open()
        with self._lock:
            rows, self._waiting = self._waiting, deque()
        try:
            self._transaction(db, rows)
        except BaseException:
            with self._lock:
                self._waiting.extendleft(reversed(rows))
            raise
        self.written += len(rows)

    def _transaction(self, db: sqlite3.Connection, rows: Iterable[tuple[str, Row]]) -> None:
        db.execute("BEGIN IMMEDIATE")
        try:
            for insert, group in _grouped(rows).items():
                self._insert(db, insert, group)
            if self._prune_due():
                self._prune(db)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def _insert(self, db: sqlite3.Connection, insert: str, rows: list[Row]) -> None:
        db.execute("SAVEPOINT rows")
        try:
            db.executemany(insert, rows)
        except BAD_ROW:
            db.execute("ROLLBACK TO rows")
            for row in rows:
                self._insert_alone(db, insert, row)
        db.execute("RELEASE rows")

    def _insert_alone(self, db: sqlite3.Connection, insert: str, row: Row) -> None:
        try:
            db.execute(insert, row)
        except BAD_ROW as error:
            self.lost += 1
            logger.error("a row cannot be stored and is dropped: {} ({!r:.200})", error, row)

    def _prune_due(self) -> bool:
        now = self._clock_ns()
        stepped_ns = abs(now - self._born_ns - int(self._uptime() * 10**9))
        return now >= self._next_prune_ns and stepped_ns < STEPPED_NS

    def _prune(self, db: sqlite3.Connection) -> None:
        before = self._clock_ns() - self._age_ns
        gone = 0
        for table in AGEING:
            old = f"SELECT rowid FROM {table} WHERE at_ns < ? ORDER BY at_ns LIMIT {PRUNE_ROWS}"
            count = db.execute(f"DELETE FROM {table} WHERE rowid IN ({old})", (before,)).rowcount
            gone, self.pruned = max(gone, count), self.pruned + count
        if gone < PRUNE_ROWS:
            self._next_prune_ns = self._clock_ns() + PRUNE_EVERY_NS

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._db = _connect(self.path)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            self._set_aside(error)
            self._db = _connect(self.path)
        return self._db

    def _set_aside(self, error: Exception) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock_ns() / 1e9))
        aside = _free_name(self.path.with_name(f"{self.path.name}.damaged-{stamp}"))
        for suffix in ("", "-wal", "-shm"):
            part = self.path.with_name(self.path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
        copy = self._bring_back()
        instead = f"its copy {copy.name} takes its place" if copy else "a fresh one begins"
        self.damage = f"the ledger {self.path} is damaged ({error}): kept as {aside.name}, {instead}"
        logger.critical("{}", self.damage)
        told = {"error": str(error), "kept_as": aside.name, "restored": copy.name if copy else None}
        self.event("ledger_set_aside", told)

    def _bring_back(self) -> Path | None:
        """Put the newest copy that is sound in the place of the file that was moved away."""
        for copy in reversed(backups(self.path.parent / FOLDER)):
            try:
                restore(copy, self.path)
            except BackupError as error:
                logger.warning("{}", error)
            else:
                return copy
        return None

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


def _connect(path: Path) -> sqlite3.Connection:
    """Open, check and migrate. Raises sqlite3.Error, OSError or LedgerTooNew, leaving nothing open then."""
    path.touch(mode=0o600, exist_ok=True)
    db = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(f"PRAGMA journal_size_limit = {CHECK_BYTES}")
        db.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
        if path.stat().st_size <= CHECK_BYTES:
            _check(db)
        _keep_copy(db, path)
        migrate(db)
    except (sqlite3.Error, OSError, LedgerTooNew):
        db.close()
        raise
    return db


def _keep_copy(db: sqlite3.Connection, path: Path) -> None:
    """Before the schema changes, so that the program of before can be gone back to. Raises OSError."""
    try:
        copy = copy_before(path, int(db.execute("PRAGMA user_version").fetchone()[0]))
    except BackupError as error:
        raise OSError(f"the ledger is not brought to this version without a copy: {error}") from error
    if copy is not None:
        logger.info("the ledger of the version before is kept as {}", copy)


def _check(db: sqlite3.Connection) -> None:
    found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        error = sqlite3.DatabaseError(found)
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


def _is_damage(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGED


def _grouped(rows: Iterable[tuple[str, Row]]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for insert, row in rows:
        groups.setdefault(insert, []).append(row)
    return groups


def _free_name(path: Path) -> Path:
    number, name = 1, path
    while name.exists():
        number, name = number + 1, path.with_name(f"{path.name}-{number}")
    return name

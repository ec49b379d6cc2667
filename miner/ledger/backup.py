"""Copies of the ledger: made while it is written to, proven before they count, and put back."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

from loguru import logger

from miner.errors import OperatorError
from miner.ledger.schema import MIGRATIONS

FOLDER = "backups"
STAMP = "%Y%m%dT%H%M%SZ"
SUFFIX, UNFINISHED = ".sqlite", ".partial"
SIDES = ("-wal", "-shm")


class BackupError(OperatorError):
    """The copy cannot be made, is damaged or cannot be put back; the message says why."""


def back_up(ledger: Path, target: Path) -> Path:
    """Copy the ledger as it is at this moment to the file `target`, whose folder is made. Returns `target`.

    May run beside the writer, whom it does not hold up. The copy is checked, and named `target` only then;
    a file of that name is replaced. Raises BackupError.
    """
    unfinished = target.with_name(target.name + UNFINISHED)
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o600)
        _copy(ledger, unfinished)
        check(unfinished)
        _sync(unfinished)
        unfinished.replace(target)
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"no backup of {ledger} at {target}: {error}") from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
    return target


def check(file: Path) -> int:
    """Read every page of a ledger or a copy of one; the number of challenges in it. Raises BackupError."""
    try:
        with closing(_open(file)) as db:
            found = [row[0] for row in db.execute("PRAGMA quick_check(3)")]
            if found != ["ok"]:
                raise BackupError(f"{file} is damaged: {'; '.join(found)}")
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            if not 1 <= version <= len(MIGRATIONS):
                raise BackupError(f"{file} is no ledger of this program (schema {version})")
            return int(db.execute("SELECT count(*) FROM challenges").fetchone()[0])
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"{file} cannot be read: {error}") from error


def restore(backup: Path, ledger: Path, *, now_s: float | None = None) -> Path | None:
    """Put a backup in the ledger's place, and return where the ledger that was there is kept (None: nowhere).

    The caller holds the data folder: no miner may run on it. The backup is checked first, and stays. A crash
    at any moment leaves the old ledger or the new one, or the old one under the name returned. Raises
    BackupError.
    """
    check(backup)
    fresh = ledger.with_name(ledger.name + UNFINISHED)
    try:
        ledger.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copyfile(backup, fresh)
        fresh.chmod(0o600)
        check(fresh)
        _sync(fresh)
        _fold(ledger)
        kept = _set_aside(ledger, time.time() if now_s is None else now_s)
        fresh.replace(ledger)
        _sync(ledger.parent)
    except OSError as error:
        raise BackupError(f"{backup} cannot be put in the place of {ledger}: {error}") from error
    finally:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
    return kept


def name_of(at_s: float) -> str:
    """A backup's file name: names sort as their times do."""
    return f"ledger-{time.strftime(STAMP, time.gmtime(at_s))}{SUFFIX}"


def backups(folder: Path) -> list[Path]:
    """The backups in a folder, oldest first."""
    return sorted(folder.glob(f"ledger-*{SUFFIX}"))


def thin(folder: Path, keep: int) -> list[Path]:
    """Delete all but the newest `keep` backups; returns those deleted. Raises OSError."""
    found = backups(folder)
    old = found[: max(0, len(found) - keep)]
    for path in old:
        path.unlink()
    return old


def _copy(ledger: Path, target: Path) -> None:
    """In one step: a copy in several would begin again with every row that is written meanwhile."""
    with closing(_open(ledger)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")


def _open(file: Path) -> sqlite3.Connection:
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)


def _fold(ledger: Path) -> None:
    """Bring what a killed miner left in the write-ahead log into the file: then a rename takes all of it."""
    if not ledger.exists():
        return
    try:
        with closing(sqlite3.connect(ledger)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        logger.warning("{} is set aside as it is, with its log beside it: {}", ledger.name, error)


def _set_aside(ledger: Path, now_s: float) -> Path | None:
    if not ledger.exists():
        return None
    aside = ledger.with_name(f"{ledger.name}.replaced-{time.strftime(STAMP, time.gmtime(now_s))}")
    for side in (*SIDES, ""):
        part = ledger.with_name(ledger.name + side)
        if part.exists():
            part.rename(aside.with_name(aside.name + side))
    return aside


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)

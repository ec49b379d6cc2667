"""Opening the ledger to read it: always read-only, so that a reader can never disturb the writer."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from miner.errors import OperatorError

SPARE_BYTES = 64 * 1024
"""With less room than this a disk is full."""


class LedgerUnreadable(OperatorError):
    """The file is there and cannot be read (damaged, no permission, locked for long); the message says so."""


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """A read-only connection, or None when there is no ledger. Raises LedgerUnreadable, also from inside."""
    path = Path(path)
    if not path.is_file() or not path.stat().st_size:
        yield None
        return
    try:
        _ask_first(path)
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0.5)) as db:
            yield db
    except (OSError, sqlite3.Error) as error:
        raise LedgerUnreadable(f"the ledger {path} cannot be read: {error}") from error


def prove_writable(path: Path) -> None:
    """Change a time of the file, which costs nothing and which a read-only disk refuses; and see that the
    disk is not full: where blocks are small or copied on write, a memory map needs room, too. Raises OSError.
    """
    os.utime(path)
    room = os.statvfs(path)
    if room.f_blocks and room.f_bavail * room.f_frsize < SPARE_BYTES:
        raise OSError(errno.ENOSPC, "No space left on device: the disk is full", str(path))


def _ask_first(path: Path) -> None:
    """Readers, too, write to the memory map beside a log (see `Ledger`): on a disk that refuses it they would
    end the process. Whoever may not write there in any case has no such map. Raises OSError."""
    index = path.with_name(f"{path.name}-shm")
    try:
        prove_writable(index)
    except FileNotFoundError:  # nobody has it open
        return
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM) and index.stat().st_uid != os.geteuid():
            return
        raise

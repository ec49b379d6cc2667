"""Opening the ledger to read it: always read-only, so that a reader can never disturb the writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


class LedgerUnreadable(Exception):
    """The file is there and cannot be read (damaged, no permission, locked for long); the message says so."""


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """A read-only connection, or None when there is no ledger. Raises LedgerUnreadable, also from inside."""
    path = Path(path)
    if not path.is_file() or not path.stat().st_size:
        yield None
        return
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0.5)) as db:
            yield db
    except sqlite3.Error as error:
        raise LedgerUnreadable(f"the ledger {path} cannot be read: {error}") from error

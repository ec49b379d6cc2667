"""A ledger whose schema is about to change: which one it has, and the copy that is made before."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from miner.ledger.backup import FOLDER, STAMP, SUFFIX, back_up
from miner.ledger.schema import MIGRATIONS

CURRENT = len(MIGRATIONS)


def schema_of(ledger: Path) -> int | None:
    """The schema's number; 0 of an empty file, None without one. Raises sqlite3.Error."""
    if not ledger.is_file():
        return None
    with closing(sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def copy_before(ledger: Path, have: int, now_s: float | None = None) -> Path | None:
    """The copy of a ledger of schema `have` that an older program can go back to; None where none is needed.

    It is named for the schema it has and never thinned out. Raises BackupError: then nothing is changed.
    """
    if not 0 < have < CURRENT:
        return None
    stamp = time.strftime(STAMP, time.gmtime(time.time() if now_s is None else now_s))
    return back_up(ledger, ledger.parent / FOLDER / f"schema-{have}-{stamp}{SUFFIX}")

"""Who asked whom: by leaps through an index, one per pair, however many challenges there are."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

Pair = tuple[str, str]
"""(our hotkey, the caller's)."""

NEXT_CALLER = "SELECT min(caller) FROM challenges WHERE hotkey = ? AND caller > ?"
NEXT_HOTKEY = "SELECT min(hotkey) FROM challenges WHERE hotkey > ?"
BEFORE_ALL = ""
"""Sorts before every name; a caller is always named."""


def pairs(db: sqlite3.Connection, hotkey: str | None = None, caller: str = "") -> list[Pair]:
    """The pairs in the ledger, of one hotkey of ours or of all, with callers that begin so."""
    ours = [hotkey] if hotkey is not None else list(_leaps(db, NEXT_HOTKEY))
    return [(one, who) for one in ours for who in _leaps(db, NEXT_CALLER, one) if who.startswith(caller)]


def _leaps(db: sqlite3.Connection, query: str, *bound: str) -> Iterator[str]:
    """Every value of an index column, by one look per value."""
    value: str | None = db.execute(query, (*bound, BEFORE_ALL)).fetchone()[0]
    while value is not None:
        yield value
        value = db.execute(query, (*bound, value)).fetchone()[0]

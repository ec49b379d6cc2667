"""The local chain's file: one SQLite database shared by processes.

The block number is a function of the wall clock and the file's genesis and rate. Whoever opens a transaction
first runs the epochs that are due, under the same write lock (`BEGIN IMMEDIATE`), so every process sees one
history; a process killed in mid-transaction leaves none of it behind.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from miner.chain.local_rules import Rules
from miner.chain.local_state import State

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE neuron (
  uid INTEGER PRIMARY KEY, hotkey TEXT UNIQUE NOT NULL, coldkey TEXT NOT NULL, registered INTEGER NOT NULL,
  last_update INTEGER NOT NULL, permit INTEGER NOT NULL DEFAULT 0, incentive INTEGER NOT NULL DEFAULT 0,
  dividends INTEGER NOT NULL DEFAULT 0, consensus INTEGER NOT NULL DEFAULT 0,
  emission INTEGER NOT NULL DEFAULT 0);
CREATE TABLE stake (hotkey TEXT PRIMARY KEY, alpha INTEGER NOT NULL, tao INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE axon (
  hotkey TEXT PRIMARY KEY, block INTEGER, version INTEGER, ip TEXT, port INTEGER, ip_type INTEGER,
  protocol INTEGER) WITHOUT ROWID;
CREATE TABLE weight (
  validator INTEGER, miner INTEGER, value INTEGER NOT NULL, PRIMARY KEY (validator, miner)) WITHOUT ROWID;
CREATE TABLE bond (
  validator INTEGER, miner INTEGER, value INTEGER NOT NULL, PRIMARY KEY (validator, miner)) WITHOUT ROWID;
CREATE TABLE nonce (address TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;
"""


class Store:
    """Opens transactions on the file. Holds no connection between them, so any thread may use it."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._rules: Rules | None = None
        self._genesis = 0.0

    def create(self, rules: Rules, owner: tuple[str, str], price: float) -> None:
        """Make the file with its owner as UID 0. Raises FileExistsError rather than overwrite a chain."""
        if self.path.exists():
            raise FileExistsError(f"there is a local chain at {self.path} already")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("BEGIN IMMEDIATE")
            for statement in SCHEMA.split(";\n"):
                db.execute(statement)
            meta: dict[str, Any] = {f"rule.{k}": v for k, v in asdict(rules).items()}
            meta |= {"genesis": self._clock(), "last_epoch": rules.genesis_block, "epoch_index": 0}
            meta |= {"price": price, "burning": 0.0, "burned": 0, "down": 0}
            meta |= {"owner_hotkey": owner[0], "owner_coldkey": owner[1]}
            db.executemany("INSERT INTO meta VALUES (?, ?)", list(meta.items()))
            db.execute(
                "INSERT INTO neuron (uid, hotkey, coldkey, registered, last_update) VALUES (0, ?, ?, ?, ?)",
                (*owner, rules.genesis_block, rules.genesis_block),
            )
            db.execute("COMMIT")

    @contextlib.contextmanager
    def open(self, *, write: bool = True) -> Iterator[State]:
        """A transaction with every due epoch run. Raises ConnectionError when there is no readable chain."""
        if not self.path.is_file():
            raise ConnectionError(f"there is no local chain at {self.path}")
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=10.0, isolation_level=None)) as db:
                yield from self._transaction(db, write)
        except sqlite3.Error as error:
            raise ConnectionError(f"the local chain at {self.path} cannot be read: {error}") from error

    def _transaction(self, db: sqlite3.Connection, write: bool) -> Iterator[State]:
        rules = self._load(db)
        state = State(db, rules, self._head(rules))
        if not write and state.due() == 0:
            db.execute("BEGIN")
        else:
            db.execute("BEGIN IMMEDIATE")
            state.head = self._head(rules)
            state.run_due()
        try:
            yield state
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")

    def _load(self, db: sqlite3.Connection) -> Rules:
        if self._rules is None:
            meta = dict(db.execute("SELECT key, value FROM meta WHERE key LIKE 'rule.%' OR key = 'genesis'"))
            kinds: dict[str, Any] = {f.name: type(f.default) for f in fields(Rules)}
            self._genesis = float(meta["genesis"])
            self._rules = Rules(**{name: kind(meta[f"rule.{name}"]) for name, kind in kinds.items()})
        return self._rules

    def _head(self, rules: Rules) -> int:
        return rules.genesis_block + max(0, int((self._clock() - self._genesis) / rules.block_s))

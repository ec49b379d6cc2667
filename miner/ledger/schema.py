"""The ledger's tables, and how an older file becomes a current one."""

from __future__ import annotations

import sqlite3

from miner.ledger.rows import COLUMNS

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE challenges (
        id TEXT NOT NULL, at_ns INTEGER NOT NULL, hotkey TEXT NOT NULL, caller TEXT NOT NULL,
        address TEXT NOT NULL, client_version TEXT NOT NULL, status INTEGER NOT NULL, outcome TEXT NOT NULL,
        size INTEGER NOT NULL, sha256 TEXT NOT NULL,
        prediction REAL, log_odds REAL, certified INTEGER NOT NULL,
        path TEXT NOT NULL, versions TEXT NOT NULL, ms TEXT NOT NULL, margin_s REAL, notes TEXT NOT NULL
    );
    CREATE INDEX challenges_at ON challenges (at_ns);
    CREATE TABLE payouts (
        at_ns INTEGER NOT NULL, hotkey TEXT NOT NULL, block INTEGER NOT NULL, data TEXT NOT NULL,
        PRIMARY KEY (hotkey, block)
    );
    CREATE TABLE events (
        at_ns INTEGER NOT NULL, hotkey TEXT NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL
    );
    CREATE INDEX events_at ON events (at_ns);
    CREATE TABLE subnet_health (at_ns INTEGER NOT NULL, hotkey TEXT NOT NULL, data TEXT NOT NULL);
    CREATE INDEX subnet_health_at ON subnet_health (at_ns);
    """,
)
"""One script per version. A new version is one more entry; an entry that has shipped never changes."""

LEDGER_NAME = "ledger.sqlite"
"""The file's name in a data folder."""

AGEING = ("challenges", "events", "subnet_health")
"""Tables pruned by age. Payouts are few and are kept."""

CHALLENGE_INSERT = f"INSERT INTO challenges ({','.join(COLUMNS)}) VALUES ({','.join('?' * len(COLUMNS))})"
PAYOUT_INSERT = "INSERT OR REPLACE INTO payouts VALUES (?,?,?,?)"
EVENT_INSERT = "INSERT INTO events VALUES (?,?,?,?)"
HEALTH_INSERT = "INSERT INTO subnet_health VALUES (?,?,?)"


class LedgerTooNew(Exception):
    """The file was written by a newer version of this program; the message says what to do."""


def migrate(db: sqlite3.Connection, versions: tuple[str, ...] = MIGRATIONS) -> None:
    """Bring a file to the current schema, one version per transaction. Raises LedgerTooNew."""
    have = int(db.execute("PRAGMA user_version").fetchone()[0])
    if have > len(versions):
        raise LedgerTooNew(
            f"the ledger was written by a newer version (schema {have}, this one knows {len(versions)}): "
            "update streetvision-miner, or start with another --data.path"
        )
    for version, script in enumerate(versions[have:], start=have + 1):
        db.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {version}; COMMIT;")

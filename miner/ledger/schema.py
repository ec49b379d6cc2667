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
    """
    CREATE INDEX challenges_sha256 ON challenges (sha256);
    CREATE TABLE captures (
        sha256 TEXT PRIMARY KEY, at_ns INTEGER NOT NULL, hotkey TEXT NOT NULL, challenge TEXT NOT NULL,
        reason TEXT NOT NULL, propensity REAL NOT NULL, prediction REAL, log_odds REAL,
        file TEXT NOT NULL, size INTEGER NOT NULL, phash TEXT NOT NULL, data TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX captures_at ON captures (at_ns);
    CREATE TABLE labels (
        at_ns INTEGER NOT NULL, hotkey TEXT NOT NULL, sha256 TEXT NOT NULL, label TEXT NOT NULL,
        source TEXT NOT NULL, reviewer TEXT NOT NULL, seconds REAL, undone INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX labels_sha256 ON labels (sha256);
    CREATE INDEX labels_at ON labels (at_ns);
    CREATE TABLE job_runs (
        at_ns INTEGER NOT NULL, hotkey TEXT NOT NULL, job TEXT NOT NULL, trigger TEXT NOT NULL,
        seconds REAL NOT NULL, outcome TEXT NOT NULL, detail TEXT NOT NULL
    );
    CREATE INDEX job_runs_at ON job_runs (at_ns);
    CREATE TABLE job_pauses (job TEXT PRIMARY KEY, at_ns INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE slices (
        at_ns INTEGER NOT NULL, hotkey TEXT NOT NULL, tier TEXT NOT NULL, version TEXT NOT NULL,
        slice TEXT NOT NULL, count INTEGER NOT NULL, accuracy REAL NOT NULL, mcc REAL, data TEXT NOT NULL
    );
    CREATE INDEX slices_at ON slices (at_ns);
    """,
    """
    CREATE INDEX challenges_of ON challenges (hotkey, caller, at_ns);
    CREATE INDEX challenges_failed ON challenges (hotkey, caller, outcome, at_ns) WHERE outcome <> 'answered';
    CREATE INDEX events_of ON events (kind, at_ns);
    CREATE INDEX job_runs_of ON job_runs (job, at_ns);
    """,
    """
    ALTER TABLE challenges ADD COLUMN kept_tokens INTEGER;
    ALTER TABLE challenges ADD COLUMN kv_bytes INTEGER;
    """,
    """
    DROP INDEX challenges_sha256;
    """,
)
"""One script per version. A new version is one more entry; an entry that has shipped never changes."""

LEDGER_NAME = "ledger.sqlite"
"""The file's name in a data folder."""

AGEING = ("challenges", "events", "subnet_health", "job_runs")
"""Tables pruned by age. Payouts, labels and slices are few and are kept; captures age by their own rule."""

CHALLENGE_INSERT = f"INSERT INTO challenges ({','.join(COLUMNS)}) VALUES ({','.join('?' * len(COLUMNS))})"
PAYOUT_INSERT = "INSERT OR REPLACE INTO payouts VALUES (?,?,?,?)"
EVENT_INSERT = "INSERT INTO events VALUES (?,?,?,?)"
HEALTH_INSERT = "INSERT INTO subnet_health VALUES (?,?,?)"
JOB_RUN_INSERT = "INSERT INTO job_runs VALUES (?,?,?,?,?,?,?)"
CAPTURE_COLUMNS = (
    *("sha256", "at_ns", "hotkey", "challenge", "reason", "propensity", "prediction", "log_odds"),
    *("file", "size", "phash", "data"),
)
CAPTURE_INSERT = f"INSERT OR REPLACE INTO captures VALUES ({','.join('?' * len(CAPTURE_COLUMNS))})"
LABEL_INSERT = """
    INSERT INTO labels SELECT ?,?,?,?,?,?,NULL,0 WHERE NOT EXISTS (
        SELECT 1 FROM labels WHERE sha256 = ? AND label = ? AND source = ? AND reviewer = ? AND undone = 0
    )
"""
SLICE_INSERT = "INSERT INTO slices VALUES (?,?,?,?,?,?,?,?,?)"
JOB_PAUSE_INSERT = "INSERT OR REPLACE INTO job_pauses VALUES (?,?)"


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

"""The ledger: one SQLite file, one writer, any number of read-only readers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from miner.ledger.access import LedgerUnreadable
from miner.ledger.job_history import job_runs, last_job_runs, paused_jobs
from miner.ledger.reader import (
    Judged,
    Summary,
    events,
    judged,
    last_subnet_health,
    payouts,
    recent,
    summary,
)
from miner.ledger.schema import LEDGER_NAME, LedgerTooNew

if TYPE_CHECKING:
    from miner.ledger.writer import Ledger

__all__ = [
    "LEDGER_NAME",
    "Judged",
    "Ledger",
    "LedgerTooNew",
    "LedgerUnreadable",
    "Summary",
    "events",
    "job_runs",
    "judged",
    "last_job_runs",
    "last_subnet_health",
    "paused_jobs",
    "payouts",
    "recent",
    "summary",
]


def __getattr__(name: str) -> Any:
    """The writer is imported by those who write: a command that reads need not wait for it."""
    if name == "Ledger":
        from miner.ledger.writer import Ledger

        return Ledger
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

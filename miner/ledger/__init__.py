"""The ledger: one SQLite file, one writer, any number of read-only readers."""

from miner.ledger.access import LedgerUnreadable
from miner.ledger.job_history import job_runs, last_job_runs, paused_jobs
from miner.ledger.reader import (
    Summary,
    events,
    last_subnet_health,
    payouts,
    recent,
    summary,
)
from miner.ledger.schema import LEDGER_NAME, LedgerTooNew
from miner.ledger.writer import Ledger

__all__ = [
    "LEDGER_NAME",
    "Ledger",
    "LedgerTooNew",
    "LedgerUnreadable",
    "Summary",
    "events",
    "job_runs",
    "last_job_runs",
    "last_subnet_health",
    "paused_jobs",
    "payouts",
    "recent",
    "summary",
]

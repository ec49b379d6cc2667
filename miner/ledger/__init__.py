"""The ledger: one SQLite file, one writer, any number of read-only readers."""

from miner.ledger.reader import (
    LedgerUnreadable,
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
    "last_subnet_health",
    "payouts",
    "recent",
    "summary",
]

"""The job that lets old rows of the ledger go."""

from __future__ import annotations

from miner.jobs.job import Context, Run
from miner.ledger import Ledger


def retention(ledger: Ledger) -> Run:
    """Has the writer prune at its next turn, a few thousand rows at a time, until nothing is too old."""

    async def run(_: Context) -> str:
        before = ledger.pruned
        ledger.prune()
        return f"{before:,} rows let go since start; asked for what is older than {ledger.days:g} days"

    return run

"""The job that keeps the rewards."""

from __future__ import annotations

from miner.jobs.job import Context, JobFailed, Run
from miner.ledger import LedgerUnreadable
from miner.rewards.several import Checks


def rewards(keeper: Checks) -> Run:
    """Twins, on-chain truth, alarms: see `RewardKeeper`."""

    async def run(_: Context) -> str:
        try:
            return await keeper.check()
        except LedgerUnreadable as error:
            raise JobFailed(str(error)) from error

    return run

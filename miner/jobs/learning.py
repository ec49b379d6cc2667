"""The jobs of self-improvement."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from miner.jobs.job import Context, JobFailed, Run
from miner.learning.process import LearningFailed
from miner.ledger import LedgerUnreadable


def learning(work: Callable[[], Awaitable[str]]) -> Run:
    """One of `Learner`'s; what it cannot do is the job's result."""

    async def run(context: Context) -> str:
        try:
            return await work()
        except (LearningFailed, LedgerUnreadable, OSError, ValueError) as error:
            raise JobFailed(str(error)) from error

    return run

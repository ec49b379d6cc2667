"""The jobs of self-improvement."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable

from miner.jobs.blocking import in_thread
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


def guesses(guess: Callable[[], str]) -> Run:
    """`guess` is `Guesser.guess`."""

    def run(_: Context) -> str:
        try:
            return guess()
        except (LedgerUnreadable, OSError, sqlite3.Error) as error:
            raise JobFailed(str(error) or "the ledger did not answer in time") from error

    return in_thread(run)

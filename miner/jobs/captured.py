"""The job that lets kept pictures go when they have become too old."""

from __future__ import annotations

from collections.abc import Callable

from miner.jobs.blocking import in_thread
from miner.jobs.job import Context, JobFailed, Run
from miner.ledger import LedgerUnreadable


def captured(expire: Callable[[], int]) -> Run:
    """`expire` is `Keeper.expire`."""

    def run(_: Context) -> str:
        try:
            gone = expire()
        except (LedgerUnreadable, OSError) as error:
            raise JobFailed(f"old pictures are still there: {error}") from error
        return f"{gone:,} kept pictures let go"

    return in_thread(run)

"""The job that looks for new models and tries those that wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from miner.jobs.job import Context, JobFailed, Run


def models(poll: Callable[[], Awaitable[str]]) -> Run:
    """`poll` see `SwapService.poll`. A trial goes on after the job has ended."""

    async def run(context: Context) -> str:
        try:
            return await poll()
        except (OSError, ValueError) as error:
            raise JobFailed(str(error)) from error

    return run

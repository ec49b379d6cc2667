"""Work that would hold up the event loop, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

from miner.jobs.job import Context, JobFailed


def in_thread(work: Callable[[Context], str]) -> Callable[[Context], Awaitable[str]]:
    """A job's `run` from a plain function.

    Each run has a daemon thread: one that hangs keeps neither the shared pool nor the process's end waiting.
    After a timeout the thread goes on, since no thread can be stopped; until it ends, further runs fail.
    """
    busy = threading.Event()

    async def run(context: Context) -> str:
        if busy.is_set():
            raise JobFailed("the thread of an earlier run still hangs")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[str] = loop.create_future()
        busy.set()
        threading.Thread(
            target=_work, args=(work, context, loop, done, busy), name=f"job {context.job}", daemon=True
        ).start()
        return await done

    return run


def _work(
    work: Callable[[Context], str],
    context: Context,
    loop: asyncio.AbstractEventLoop,
    done: asyncio.Future[str],
    busy: threading.Event,
) -> None:
    answer: str | BaseException
    try:
        answer = work(context)
    except BaseException as error:  # noqa: BLE001 - the edge of a thread: handed to whoever awaits the run
        answer = error
    busy.clear()
    if not loop.is_closed():
        loop.call_soon_threadsafe(_settle, done, answer)


def _settle(done: asyncio.Future[str], answer: str | BaseException) -> None:
    if done.done():  # it timed out
        return
    if isinstance(answer, BaseException):
        done.set_exception(answer)
    else:
        done.set_result(answer)

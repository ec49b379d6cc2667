"""A member that runs elsewhere, as a lane of the judge: asked per request, never holding up anybody.

One thread with an event loop asks for all of them (`Desk`); a member's own client bounds how much it is asked
at once and gives up in time.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from loguru import logger

from miner.engine.lane import Asked
from models.cascade import State
from models.core import Evidence
from models.vlm.member import Absent, RemoteTier

MARGIN_S = 0.1
"""A remote member must have spoken this long before the request's deadline: the verdict has to get home."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A member to be made in the loop that will ask it. `name` is its tier's."""

    name: str
    make: Callable[[], RemoteTier]


class Desk:
    """The event loop that asks remote members, in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="remote", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def open(self, remote: Remote) -> RemoteTier:
        """Make the member in the loop. Raises ValueError when it cannot be."""
        member: RemoteTier = self.do(_made(remote)).result()
        return member

    def do(self, work: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def stop(self) -> None:
        """Drop what is being asked, and end the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))


async def _made(remote: Remote) -> RemoteTier:
    return remote.make()


class RemoteLane:
    """`spoken` hears what the member says about a job, None when it is absent; `began` when it was asked."""

    def __init__(
        self,
        member: RemoteTier,
        desk: Desk,
        spoken: Callable[[Any, float, Evidence | None], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.member = member
        self._desk = desk
        self._spoken = spoken
        self._clock = clock
        self._asked: dict[int, Future[Any]] = {}

    @property
    def version(self) -> str:
        return self.member.version

    def __len__(self) -> int:
        return len(self._asked)

    def wanted(self, state: State) -> bool:
        """Whether to ask it after what was said: a member that costs money may decline
        (`models.vlm.arbiter`)."""
        judge = getattr(self.member, "wanted", None)
        return judge is None or bool(judge(state.evidence, state.plan.fuse(state.evidence)))

    def put(self, job: Asked, views: Sequence[bytes], id: str) -> None:
        """Ask; returns at once. A member may have answered by then."""
        asked = self._asked[job.number] = self._desk.do(self._ask(job, tuple(views), id))
        asked.add_done_callback(lambda _: self._asked.pop(job.number, None))

    def discard(self, job: Asked) -> None:
        """Nobody waits for this answer any more: the client is told, and tells its server."""
        if asked := self._asked.pop(job.number, None):
            asked.cancel()

    async def _ask(self, job: Asked, views: Sequence[bytes], id: str) -> None:
        began = self._clock()
        evidence: Evidence | None = None
        try:
            evidence = await self.member.evidence(views, job.deadline - MARGIN_S, id)
        except Absent as absent:
            logger.debug("{} says nothing about request {}: {}", self.member.name, id, absent.reason)
        except Exception:  # noqa: BLE001 - the edge of a member: a bug in it makes it absent, no more
            logger.exception("{} failed on request {}", self.member.name, id)
        self._spoken(job, began, evidence)

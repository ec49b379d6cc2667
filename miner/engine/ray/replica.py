"""What a replica of the deployment is: the judge of an engine child, asked by Serve instead of a socket.

It batches by deadline and measured cost as everywhere (`miner.engine.lane`), which Serve's own batching by
size and timeout cannot, so Serve hands it every request at once."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from miner.engine import frames, tiers
from miner.engine.config import EngineConfig
from miner.engine.failover import suspect
from miner.engine.farside import rss
from miner.engine.judge import Judge, Outcome
from miner.engine.lane import Running
from miner.engine.plan import planned
from models import heap
from models.core import Request, Tier


def asking(request: Request, left_s: float) -> frames.Header:
    """The question without its views. Hosts have clocks of their own, so a deadline travels as what is left
    until then."""
    return {
        "id": request.id,
        "hotkey": request.hotkey,
        "caller": request.caller,
        "left_s": left_s,
        "priority": request.priority,
    }


class Replica:
    """`config` as JSON. Raises whatever a checkpoint or a driver raises: Serve then says that the deployment
    failed, and why."""

    build: Callable[[tiers.Spec, str], Tier] = staticmethod(tiers.build)

    def __init__(self, config: Mapping[str, Any]) -> None:
        heap.keep()
        self._config = EngineConfig.from_json(config)
        self._broken = self._never = ""
        self._absent: dict[str, str] = {}
        members = tiers.build_all(
            self._config.cascade.tiers, self._config.device, self.build, self._absent.__setitem__
        )
        self._device = str(getattr(members[0], "device", "cpu"))
        self._judge = Judge(
            members,
            limits=self._config.limits,
            most=self._config.most,
            decoders=self._config.decoders,
            broken=self._break,
            plan=partial(planned, self._config.cascade, told=self._told),
            p95_ms=self._config.p95_ms,
            budget_ms=self._config.budget_ms,
        )
        self._judge.start()

    async def judge(self, header: frames.Header, *views: bytes) -> frames.Header:
        """The outcome as a header, with a `look` at the replica. Cancelling it withdraws the question."""
        deadline = time.monotonic() + header["left_s"]
        request = Request(
            header["id"], header["hotkey"], header["caller"], views, deadline, header["priority"]
        )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        job = self._judge.submit(request, partial(_hand_over, loop, future))
        try:
            return {**frames.outcome(0, await future), "look": self.look()}
        finally:
            self._judge.cancel(job)

    def look(self) -> frames.Header:
        """Its figures: who it is, what it has loaded, how long judging takes."""
        progress = self._judge.progress()
        return {
            "who": f"{socket.gethostname()}/{os.getpid()}",
            "versions": self._judge.versions,
            "device": self._device,
            "never": self._never,
            "early_by": self._judge.early_by,
            "absent": self._absent,
            "forecast": frames.forecast_json(progress.forecast),
            "queued": progress.queued,
            "batch_sizes": progress.batch_sizes,
            "course": asdict(progress.course),
            "rss": rss(),
        }

    def check_health(self) -> None:
        """Serve asks now and then, and replaces a replica that raises three times in a row, or does not
        answer. One batch that takes far too long is enough: nobody else has its requests, as a standby
        would."""
        if self._broken:
            raise RuntimeError(self._broken)
        now = time.monotonic()
        if suspect(_Watched(now, self._judge.progress().running), now, self._config.heartbeat_s):
            raise RuntimeError("a batch takes far longer than it should")

    def _break(self, why: str) -> None:
        """In a lane's thread: nothing in this process can repair the device."""
        self._broken = f"the device is broken: {why}"

    def _told(self, why: str) -> None:
        self._never = why


class _Watched:
    """A replica as `suspect` sees a child."""

    def __init__(self, heard_s: float, running: Running | None) -> None:
        self.heard_s = heard_s
        self.running = running


def _hand_over(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    loop.call_soon_threadsafe(_settle, future, outcome)


def _settle(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)

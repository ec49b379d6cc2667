"""A server elsewhere, or a router before several: only watched."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from loguru import logger

from miner.servers.health import ServerHealth, State
from miner.servers.probe import Probe
from miner.servers.spec import ServerSpec
from models.vlm import Absent
from models.vlm.secret import Secret, redact


class Watcher:
    """`run` until cancelled; `health` at any time."""

    def __init__(
        self, spec: ServerSpec, key: Secret | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.spec = spec
        self._key = key
        self._clock = clock
        self._state: State = "waiting"
        self._detail = ""
        self._probe_ms: float | None = None
        self._answered_s: float | None = None

    def health(self) -> ServerHealth:
        answered = self._answered_s
        return ServerHealth(
            name=self.spec.name,
            url=redact(self.spec.address),
            model=self.spec.model,
            here=False,
            state=self._state,
            detail=self._detail,
            probe_ms=self._probe_ms,
            answered_age_s=None if answered is None else self._clock() - answered,
        )

    async def run(self) -> None:
        """Probe it now and every `check_s`."""
        probe = Probe(self.spec, self._key)
        try:
            while True:
                await self._look(probe)
                await asyncio.sleep(self.spec.check_s)
        finally:
            self._say("stopped")
            await probe.close()

    async def _look(self, probe: Probe) -> None:
        try:
            self._probe_ms = await probe.picture(self.spec.hang_s / 3)
            self._answered_s = self._clock()
            self._say("ready")
        except Absent as absent:
            sglang = self.spec.dialect == "sglang"
            self._say("paused" if sglang and await probe.paused() else "unreachable", absent.reason)

    def _say(self, state: State, detail: str = "") -> None:
        if state != self._state:
            logger.info("server {}: {} {}", self.spec.name, state, detail)
        self._state, self._detail = state, detail

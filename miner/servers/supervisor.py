"""Keeps one SGLang process alive: starts it gated, proves that it answers, restarts it, gives up.

The miner never waits for it: a server that is not ready is a member that is absent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loguru import logger

from miner.engine.failover import Breaker
from miner.servers import command
from miner.servers.gpus import Memory, memory_here
from miner.servers.health import ServerHealth, State
from miner.servers.probe import Probe
from miner.servers.process import ServerProcess
from miner.servers.room import CONTEXT, lack, static
from miner.servers.spec import ServerSpec
from models.vlm import Absent
from models.vlm.secret import Secret

POLL_S = 0.5
FIRST_PROBES = 3
"""Tries of the first probe: a server's first picture may compile things."""


class Unfit(Exception):
    """It must be ended, and started again later; the message says why."""


def patience() -> Breaker:
    """2 s to 2 min between starts; ten minutes after five that died young (in less than ten minutes)."""
    return Breaker(first_s=2.0, longest_s=120.0, most=5, pause_s=600.0, stable_s=600.0)


@dataclass(frozen=True, slots=True)
class Host:
    """What a process of this host is started with. `turns`: one lock for each GPU; whoever holds
    it loads. `memory`: of the GPUs, now."""

    python: str
    folder: Path
    entry: Sequence[str] = command.ENTRY
    turns: dict[int, asyncio.Lock] = field(default_factory=dict)
    memory: Callable[[], Awaitable[Mapping[int, Memory]]] = memory_here
    poll_s: float = POLL_S


class Supervisor:
    """`run` until cancelled; it then ends the process. `health` at any time."""

    def __init__(
        self,
        spec: ServerSpec,
        host: Host,
        key: Secret | None = None,
        breaker: Breaker | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spec, self.host = spec, host
        self._key = key
        self._breaker = breaker or patience()
        self._clock = clock
        self._state: State = "waiting"
        self._detail = ""
        self._starts = 0
        self._pid: int | None = None
        self._probe_ms: float | None = None
        self._answered_s: float | None = None

    def health(self) -> ServerHealth:
        answered = self._answered_s
        return ServerHealth(
            name=self.spec.name,
            url=self.spec.address,
            model=self.spec.model,
            here=True,
            state=self._state,
            detail=self._detail,
            pid=self._pid,
            restarts=max(self._starts - 1, 0),
            probe_ms=self._probe_ms,
            answered_age_s=None if answered is None else self._clock() - answered,
        )

    async def run(self) -> None:
        """Start it, again and again, until cancelled."""
        try:
            while True:
                started = self._clock()
                why = await self._life()
                pause = self._breaker.died(self._clock() - started)
                self._say("crash_loop" if self._breaker.open else "backoff", why)
                logger.error("server {} ended ({}); next start in {:.0f} s", self.spec.name, why, pause)
                await asyncio.sleep(pause)
        finally:
            self._pid = None
            self._say("stopped")

    async def _life(self) -> str:
        """One process from start to end; why it ended."""
        process = ServerProcess(self.spec.name, [self._key] if self._key else [])
        probe = Probe(self.spec, self._key)
        try:
            async with AsyncExitStack() as turn:
                await self._take_turn(turn)
                await self._start(process)
                return await self._until_end(process, self._tend(probe, turn))
        except (OSError, Unfit) as error:
            return str(error)
        finally:
            await process.stop(self.spec.stop_s)
            await probe.close()
            self._pid = None

    async def _take_turn(self, turn: AsyncExitStack) -> None:
        """Wait until no other server loads on its GPUs, and until there is room: its share is reckoned of
        what is free then. `turn` is given back when it is ready, or gone."""
        self._say("waiting", "until no other server loads on its GPUs")
        for gpu in sorted(self.spec.gpus):
            await turn.enter_async_context(self.host.turns.setdefault(gpu, asyncio.Lock()))
        await self._room("waiting")

    async def _room(self, state: State, taken: int = 0) -> None:
        while why := lack(self.spec, await self.host.memory(), taken):
            self._say(state, why)
            await asyncio.sleep(self.host.poll_s)

    async def _start(self, process: ServerProcess) -> None:
        share = static(self.spec, await self.host.memory())
        self._starts += 1
        self._say("starting")
        file = command.write_key(self.host.folder, self.spec, self._key)
        python = self.spec.python or self.host.python
        args = command.command(self.spec, python, file, self.host.entry, share)
        await process.start(args, command.environment(self.spec))
        self._pid = process.pid
        logger.info("server {} starts as process {}", self.spec.name, process.pid)

    async def _until_end(self, process: ServerProcess, tending: Coroutine[Any, Any, None]) -> str:
        """Whichever is first: the process ends, or is found unfit (raises Unfit)."""
        ended = asyncio.create_task(process.wait())
        tended = asyncio.create_task(tending)
        try:
            await asyncio.wait((ended, tended), return_when=asyncio.FIRST_COMPLETED)
            if tended.done():
                tended.result()  # it only ends by an exception
            return f"exit status {ended.result()}: {process.last_words()}"
        finally:
            for task in (ended, tended):
                task.cancel()
                with suppress(asyncio.CancelledError, Unfit):
                    await task

    async def _tend(self, probe: Probe, turn: AsyncExitStack) -> None:
        """From the gate to the end of time."""
        try:
            async with asyncio.timeout(self.spec.start_s):
                await self._until(probe.gated)
                await self._room("gated", taken=CONTEXT)  # others may have come while it imported
                self._say("loading")
                await self._until(probe.activate)
                await self._until(probe.ready)
        except TimeoutError as error:
            raise Unfit(f"not ready within {self.spec.start_s:.0f} s, last {self._state}") from error
        await turn.aclose()
        await self._prove(probe)
        await self._watch(probe)

    async def _until(self, ask: Callable[[], object]) -> None:
        while not await ask():  # type: ignore[misc]
            await asyncio.sleep(self.host.poll_s)

    async def _prove(self, probe: Probe) -> None:
        """Ready by its own word only proves that it can write text; a scored picture proves the rest."""
        self._say("probing")
        for left in reversed(range(FIRST_PROBES)):
            try:
                await self._ask(probe, self.spec.hang_s)
                logger.info("server {} is ready: a picture took {:.0f} ms", self.spec.name, self._probe_ms)
                return
            except Absent as absent:
                if not left:
                    raise Unfit(f"the probe picture got no answer: {absent.reason}") from absent
                await asyncio.sleep(self.host.poll_s)

    async def _watch(self, probe: Probe) -> None:
        """Raises Unfit once no probe was answered for `hang_s`; a pause does not count as silence."""
        silent_since = self._clock()
        while True:
            await asyncio.sleep(self.spec.check_s)
            try:
                await self._ask(probe, self.spec.hang_s / 3)
                silent_since = self._clock()
            except Absent as absent:
                if await probe.paused():
                    silent_since = self._clock()
                    self._say("paused", "told to wait; not restarted for that")
                elif self._clock() - silent_since >= self.spec.hang_s:
                    raise Unfit(f"no answer for {self.spec.hang_s:.0f} s: {absent.reason}") from absent
                else:
                    self._say("unwell", absent.reason)

    async def _ask(self, probe: Probe, within_s: float) -> None:
        self._probe_ms = await probe.picture(within_s)
        self._answered_s = self._clock()
        self._say("ready")

    def _say(self, state: State, detail: str = "") -> None:
        if state != self._state and {state, self._state} & {"paused", "unwell"}:
            logger.warning("server {}: {} -> {} {}", self.spec.name, self._state, state, detail)
        self._state, self._detail = state, detail

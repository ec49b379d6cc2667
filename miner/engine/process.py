"""One engine child as the front sees it: a process, a socket, what it said last. No policy in here."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

from loguru import logger

import miner
from miner.engine import early, frames
from miner.engine.blackbox import BlackBox
from miner.engine.config import EngineConfig
from miner.engine.forecast import Forecast
from miner.engine.lane import Running
from miner.share import cores

COMMAND = (sys.executable, "-P", "-m", "miner.engine.child_main")
"""-P: the folder the miner was started from must not come before the project (`neurons/` holds a
miner.py)."""

OnFrame = Callable[["Child", frames.Header], None]


class Child(asyncio.Protocol):
    """`on_frame` gets every header the child sends but the heartbeats; `on_death` is called once, when it is
    gone.

    `heard_s` when it was last heard (monotonic s); `ready`, `failed` (why it could not load), and the last
    heartbeat."""

    def __init__(
        self,
        config: EngineConfig,
        on_frame: OnFrame,
        on_death: Callable[[Child], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self.box = BlackBox.create(config.slots)
        self.started_s = self.heard_s = clock()
        self.ready = False
        self.dead = False
        self.failed = self.never = self.early_by = ""
        self.device = config.device
        self.versions: dict[str, str] = {}
        self.absent: dict[str, str] = {}
        self.moments: dict[str, float] = {}
        self.forecast = Forecast()
        self.running: Running | None = None
        self.beat: frames.Header = {}
        self._on_frame = on_frame
        self._on_death = on_death
        self._clock = clock
        self._reader = frames.Reader()
        self._transport: asyncio.Transport | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self, command: Sequence[str] = COMMAND) -> None:
        """Spawn it and hand over the configuration. Raises OSError when that is impossible."""
        spawned = early.take(command, self.config.slots)
        if spawned is not None:
            self.box.close()
            self.box = spawned.box
        else:
            try:
                spawned = await early.spawn(command, environment(self.config.threads), self.box)
            except OSError:
                self.box.close()
                raise
        self._process = spawned.process
        await self._loop.create_connection(lambda: self, sock=spawned.socket)
        self.send(frames.pack({"kind": "config", "config": self.config.to_json()}))

    async def live(self) -> int:
        """Until it is gone: pass on what it logs, then its exit status (negative: the signal)."""
        process = self._process
        assert process is not None and process.stderr is not None
        try:
            while line := await _line(process.stderr):
                _log(line, process.pid)
            return await process.wait()
        finally:
            self.kill()
            self._gone()
            self.box.close()

    def send(self, frame: bytes) -> None:
        """Write it, unless it is going away. (uvloop sends at once what was written in one turn.)"""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame)

    def close(self) -> None:
        """Ask it to end: it does when nothing more can come."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()

    def kill(self) -> None:
        """At once. Not through asyncio's process, whose `kill` may take the exit status from its own
        watcher."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not derived from it

    def data_received(self, data: bytes) -> None:
        self.heard_s = self._clock()
        try:
            for header, _ in self._reader.feed(data):
                self._take(header)
        except (frames.ProtocolError, KeyError, TypeError, ValueError):
            logger.exception("engine child {} speaks nonsense: it is killed", self.pid)
            self.kill()

    def connection_lost(self, exc: Exception | None) -> None:
        self.kill()
        self._gone()

    def _take(self, header: frames.Header) -> None:
        kind = header["kind"]
        if kind in ("ready", "beat"):
            self._note(header)
        if kind == "ready":
            self.ready, self.versions, self.device = True, header["versions"], header["device"]
            self.never, self.absent = header["never"], header["absent"]
            self.early_by = header["early_by"]
            self.moments = header["moments"]
        if kind == "failed":
            self.failed = str(header["detail"])
        if kind != "beat":
            self._on_frame(self, header)

    def _note(self, beat: frames.Header) -> None:
        self.beat = beat
        self.forecast = frames.forecast_from(beat["forecast"])
        self.running = Running(*beat["running"]) if beat["running"] else None

    def _gone(self) -> None:
        if not self.dead:
            self.dead, self.ready = True, False
            self._on_death(self)


async def _line(stream: asyncio.StreamReader) -> bytes:
    """The next line, or the rest of an overlong one; empty at the end."""
    try:
        return await stream.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await stream.readexactly(error.consumed)


def _log(line: bytes, pid: int) -> None:
    """Our own lines come as LEVEL|text; everything else is some library's."""
    text = line.decode(errors="replace").rstrip()
    level, bar, rest = text.partition("|")
    known = bar and level in ("INFO", "WARNING", "ERROR", "CRITICAL")
    logger.log(level if known else "INFO", "[engine {}] {}", pid, rest if known else text)


def environment(threads: int) -> dict[str, str]:
    """Of a child with so many compute threads (0: as many as there are cores, or a container may use of
    them, unless OMP_NUM_THREADS says)."""
    root = str(Path(miner.__file__).parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    most = threads or (None if "OMP_NUM_THREADS" in os.environ else cores())
    limit = {"OMP_NUM_THREADS": str(most)} if most else {}
    return {**os.environ, "PYTHONPATH": path, **limit}

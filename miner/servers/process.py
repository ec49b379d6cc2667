"""One server process: its own session, its log without keys, its end. No policy in here."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from loguru import logger

from models.vlm.secret import Secret, redact

LINES = 40
"""Last lines of its log that are kept, to say why it died."""
LINE_BYTES = 2**20
TELLING = ("Error", "error:", "CRITICAL", "OutOfMemory", "out of memory")


class ServerProcess:
    """Started by `start`; `wait` for its end; `stop` ends it and everything that it started."""

    def __init__(self, name: str, secrets: Iterable[Secret] = ()) -> None:
        self.name = name
        self.tail: deque[str] = deque(maxlen=LINES)
        self._secrets = tuple(secrets)
        self._process: asyncio.subprocess.Process | None = None
        self._pump: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Raises OSError when it cannot be started."""
        self._process = await asyncio.create_subprocess_exec(
            *command,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            limit=LINE_BYTES,
        )
        self._pump = asyncio.create_task(self._read(self._process.stdout))

    async def wait(self) -> int:
        """Its exit status (negative: the signal), once it has ended."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self, patience_s: float) -> None:
        """Ask it to end, wait, then kill its whole process group, which may outlive it."""
        if self._process is None:
            return
        with suppress(ProcessLookupError, TimeoutError):
            if self._process.returncode is None:
                self._process.terminate()
                await asyncio.wait_for(self._process.wait(), patience_s)
        await self.kill()

    async def kill(self) -> None:
        """Its whole group, at once."""
        if self._process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        if self._pump is not None:
            with suppress(TimeoutError):  # somebody outside the group may still hold the pipe
                await asyncio.wait_for(self._pump, 1.0)

    def last_words(self) -> str:
        """The last line of its log that tells of an error, or the last line."""
        telling = [line for line in self.tail if any(word in line for word in TELLING)]
        return (telling or list(self.tail) or [""])[-1].strip()[:200]

    async def _read(self, stream: asyncio.StreamReader | None) -> None:
        assert stream is not None
        while line := await _line(stream):
            text = redact(line.decode(errors="replace").rstrip(), self._secrets)
            self.tail.append(text)
            level = "WARNING" if any(word in text for word in TELLING) else "DEBUG"
            logger.log(level, "[server {}] {}", self.name, text)


async def _line(stream: asyncio.StreamReader) -> bytes:
    """The next line; of an overlong one, a piece. Empty at the end."""
    try:
        return await stream.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await stream.readexactly(max(error.consumed, 1))

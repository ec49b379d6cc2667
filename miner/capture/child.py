"""The front's end of the worker's pipe: one picture at a time, with a deadline; a worker that fails is
replaced."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from miner.engine.frames import ProtocolError, Reader, pack

COMMAND = (sys.executable, "-P", "-m", "miner.capture.worker")
WITHIN_S = 60.0
"""How long one picture may take: the worker is nice, and a busy host may starve it."""
CHUNK = 1 << 18
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class WorkerFailed(Exception):
    """The worker died, hung or talked nonsense over this picture; the next one gets a new worker."""


class Refused(Exception):
    """The picture cannot be kept; the message says why."""


@dataclass(frozen=True, slots=True)
class Scaled:
    """`jpeg` what is to be kept; `mark` its 64-bit fingerprint; `about` width, height and blurred places."""

    jpeg: bytes
    mark: int
    about: dict[str, Any]


class Child:
    """Used by one thread. Spawns the worker when it is first needed.

    `side` longest side of what is kept; `limits` most bytes and pixels of what is decoded.
    """

    def __init__(
        self,
        *,
        side: int,
        blur: bool,
        limits: tuple[int, int],
        command: Sequence[str] = COMMAND,
        within_s: float = WITHIN_S,
    ) -> None:
        self._header = {"side": side, "blur": blur, "bytes": limits[0], "pixels": limits[1]}
        self._command, self._within_s = tuple(command), within_s
        self._process: subprocess.Popen[bytes] | None = None

    def scale(self, picture: bytes) -> Scaled:
        """Raises Refused or WorkerFailed."""
        try:
            process = self._process = self._process or self._spawn()
            header, content = _exchange(process, pack(self._header, picture), self._within_s)
        except (OSError, ProtocolError, TimeoutError, EOFError) as error:
            self.close()
            raise WorkerFailed(f"{type(error).__name__} {error}".strip()) from error
        if header["kind"] == "refused":
            raise Refused(header["reason"])
        about = {name: header[name] for name in ("width", "height", "blurred")}
        return Scaled(content, int(header["mark"], 16), about)

    def close(self) -> None:
        """End the worker, if there is one. Idempotent."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        process.wait()

    def _spawn(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | ENVIRONMENT,
            bufsize=0,
        )
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        return process


def _exchange(
    process: subprocess.Popen[bytes], frame: bytes, within_s: float
) -> tuple[dict[str, Any], bytes]:
    """Write a frame and read one. Raises TimeoutError, EOFError, OSError or ProtocolError."""
    assert process.stdin is not None and process.stdout is not None
    to, out = process.stdin.fileno(), process.stdout.fileno()
    ends, left, reader = time.monotonic() + within_s, memoryview(frame), Reader()
    while (wait_s := ends - time.monotonic()) > 0:
        readable, writable, _ = select.select([out], [to] if left else [], [], wait_s)
        if writable:
            left = left[os.write(to, left[:CHUNK]) :]
        if readable:
            data = os.read(out, CHUNK)
            if not data:
                raise EOFError("the worker ended")
            if frames := reader.feed(data):
                return frames[0]
    raise TimeoutError(f"no answer within {within_s:g} s")

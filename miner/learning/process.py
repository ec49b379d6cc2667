"""A learning process: low priority, one thread, a time limit, its last line of output as JSON."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

ADAPT = "models.learn.adaptation"
DRIFT = "models.drift"
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_LONGEST = 500


class LearningFailed(Exception):
    """It ended badly, took too long or talked nonsense; the message says which."""


Start = Callable[[str, Sequence[str], bytes], Awaitable[dict[str, Any]]]
"""Runs a module with arguments and standard input; its answer. Raises LearningFailed."""


def within(timeout_s: float) -> Start:
    """Processes that may take `timeout_s` seconds each. One that is no longer awaited is killed."""

    async def start(module: str, arguments: Sequence[str], data: bytes = b"") -> dict[str, Any]:
        command = (sys.executable, "-P", "-m", module, *arguments)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe, env={**os.environ, **ENVIRONMENT}
        )
        try:
            out, said = await asyncio.wait_for(process.communicate(data), timeout_s)
        except TimeoutError:
            raise LearningFailed(f"took longer than {timeout_s:.0f} s and was ended") from None
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        return _answer(process.returncode, out, said)

    return start


def _answer(status: int | None, out: bytes, said: bytes) -> dict[str, Any]:
    last = said.decode(errors="replace").strip().rpartition("\n")[2][:_LONGEST]
    if status != 0:
        raise LearningFailed(last or f"ended with status {status}")
    try:
        found: dict[str, Any] = json.loads(out.decode().strip().rpartition("\n")[2])
    except ValueError as error:
        raise LearningFailed(f"gave no answer: {error}") from error
    return found

"""Pictures for the page, drawn in a child process that may die of them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loguru import logger

import miner
from models.imaging.header import Limits

COMMAND = (sys.executable, "-m", "miner.classify.draw_main")
SIDE = 360
"""Pixels of a thumbnail's longer side."""
PATIENCE_S = 120.0
"""For one picture, the loading of the model included."""
_LINE = 2**22


@dataclass(frozen=True, slots=True)
class Drawn:
    """`picture` and `heat` base64 JPEG ("" without one); `width`, `height` of the original; `error` a reason
    of `scenes.REASONS` when there is no picture."""

    picture: str = ""
    heat: str = ""
    width: int = 0
    height: int = 0
    error: str = ""


class Artist:
    """`await draw(file, heat)` never raises for a picture's sake; `await close()` at the end.

    `tier` the spec of whose look is drawn; `command` starts the child."""

    def __init__(
        self,
        tier: Mapping[str, Any],
        device: str,
        limits: Limits,
        *,
        command: Sequence[str] = COMMAND,
        patience_s: float = PATIENCE_S,
    ) -> None:
        about = {"tier": dict(tier), "device": device, "bytes": limits.bytes, "pixels": limits.pixels}
        self._first = {**about, "side": SIDE}
        self._command = command
        self._patience_s = patience_s
        self._child: asyncio.subprocess.Process | None = None

    async def draw(self, file: Path, heat: bool) -> Drawn:
        """The thumbnail of a file, and its heat map."""
        try:
            async with asyncio.timeout(self._patience_s):
                child = self._child or await self._spawn()
                answer = await _exchange(child, {"path": str(file.absolute()), "heat": heat})
        except TimeoutError:
            return await self._lost(file, "took too long to draw", "deadline")
        except (OSError, ValueError):
            return await self._lost(file, "killed the child that draws", "poison")
        if "error" in answer:
            return Drawn(error=answer["error"])
        return Drawn(answer["picture"], answer["heat"] or "", answer["width"], answer["height"])

    async def close(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()

    async def _spawn(self) -> asyncio.subprocess.Process:
        root = str(Path(miner.__file__).parents[1])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        child = self._child = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE,
            env={**os.environ, "PYTHONPATH": path},
        )
        await _tell(child, self._first)
        return child

    async def _lost(self, file: Path, why: str, reason: str) -> Drawn:
        logger.warning("{} {}", file, why)
        await self.close()
        return Drawn(error=reason)


async def _exchange(child: asyncio.subprocess.Process, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Raises OSError when the child is gone, ValueError when it speaks nonsense."""
    assert child.stdout is not None
    await _tell(child, asked)
    line = await child.stdout.readline()
    if not line.endswith(b"\n"):
        raise ConnectionResetError("the child is gone")
    answer = json.loads(line)
    if not isinstance(answer, dict):
        raise ValueError("not an object")
    return answer


async def _tell(child: asyncio.subprocess.Process, what: Mapping[str, Any]) -> None:
    assert child.stdin is not None
    child.stdin.write(json.dumps(what).encode() + b"\n")
    await child.stdin.drain()

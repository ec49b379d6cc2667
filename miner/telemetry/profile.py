"""Where the time goes: of the front by the stacks of its threads, looked at many times a second; of the
models by what they say themselves."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

HERTZ = 100.0
LONGEST_S, LONGEST_TRACE_S = 20.0, 5.0
"""A trace holds every operator: a second of a busy model is some megabytes."""
TOP = 12
IDLE = frozenset(
    {
        ("selectors.py", "select"),
        ("threading.py", "wait"),
        ("threading.py", "_wait_for_tstate_lock"),
        ("thread.py", "_worker"),
    }
)
"""(file, function) in which a thread waits for work: not counted."""


Trace = Callable[[float, Path], Awaitable[list[tuple[str, float]]]]


class Profiler:
    """The control command `profile`; writes into `folder`. One at a time. `trace` is `Engine.trace`."""

    def __init__(self, folder: Path, trace: Trace) -> None:
        self._folder, self._trace = folder, trace
        self._busy = False

    async def profile(self, seconds: float = 10.0, models: bool = False) -> dict[str, Any]:
        """Look for so long: {"file", "looks", "top"}. The file has a line per stack, as flame graphs want
        it; `top` is [function, share of the looks at busy threads in which it was on the stack]. Of the
        `models` the file is a trace, `looks` 0 and `top` is [operator, share of the time of all]."""
        longest = LONGEST_TRACE_S if models else LONGEST_S
        if not isinstance(seconds, int | float) or not 0 < seconds <= longest:
            raise ValueError(
                f"a profile {'of the models ' if models else ''}takes from 0 to {longest:g} seconds"
            )
        if self._busy:
            raise ValueError("a profile is being taken already")
        self._busy = True
        try:
            if models:
                file = self._named("json")
                return {"file": str(file), "looks": 0, "top": await self._trace(seconds, file)}
            counts = await asyncio.to_thread(sample, seconds)
            return await asyncio.to_thread(self._write, counts)
        finally:
            self._busy = False

    def _named(self, kind: str) -> Path:
        return self._folder / f"profile-{time.strftime('%Y%m%d-%H%M%S')}.{kind}"

    def _write(self, counts: Mapping[str, int]) -> dict[str, Any]:
        path = self._named("folded")
        try:
            path.touch(mode=0o600)
            path.write_text("".join(f"{stack} {count}\n" for stack, count in sorted(counts.items())))
        except OSError as error:
            raise ValueError(f"{path} cannot be written: {error.strerror}") from error
        return {"file": str(path), "looks": sum(counts.values()), "top": top(counts)}


def sample(seconds: float) -> Counter[str]:
    """`thread;outermost;...;innermost` -> how often a thread other than this one was found at work there."""
    counts: Counter[str] = Counter()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        for ident, frame in sys._current_frames().items():
            if ident != threading.get_ident() and not _is_idle(frame):
                counts[";".join([names.get(ident, "thread"), *stack_of(frame)])] += 1
        time.sleep(1 / HERTZ)
    return counts


def stack_of(frame: FrameType | None) -> list[str]:
    """`file:function` of each call, outermost first."""
    found: list[str] = []
    while frame is not None:
        found.append(_name(frame))
        frame = frame.f_back
    return found[::-1]


def top(counts: Mapping[str, int]) -> list[tuple[str, float]]:
    """The functions that were on most stacks, with their share in (0, 1]."""
    total = sum(counts.values())
    functions: Counter[str] = Counter()
    for stack, count in counts.items():
        for function in set(stack.split(";")[1:]):
            functions[function] += count
    return [(function, count / total) for function, count in functions.most_common(TOP)]


def _is_idle(frame: FrameType) -> bool:
    return (Path(frame.f_code.co_filename).name, frame.f_code.co_name) in IDLE


def _name(frame: FrameType) -> str:
    path = Path(frame.f_code.co_filename)
    return f"{path.parent.name}/{path.name}:{frame.f_code.co_qualname}".replace(";", ",").replace(" ", "_")

"""The event loop the miner runs on: uvloop where it is installed, asyncio's own elsewhere; and what it shares
with its threads: one heap, one interpreter."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from models import heap

T = TypeVar("T")

SWITCH_S = 0.0005
"""How long a thread that computes keeps the interpreter while the loop wants it, which is once for every
socket that has something to say. CPython's own is 5 ms."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run(main)` on the faster loop: a turn of asyncio's own is Python code, and a challenge takes
    about six. Call it before there are threads."""
    heap.share_one()
    sys.setswitchinterval(SWITCH_S)
    with asyncio.Runner(loop_factory=_factory()) as runner:
        return runner.run(main)


def _factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not made for Windows, nor for every interpreter on its first day
        return None
    return uvloop.new_event_loop

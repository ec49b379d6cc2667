"""The event loop the miner runs on: uvloop where it is installed, asyncio's own elsewhere; and what it shares
with its threads: one heap, one interpreter."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
M_ARENA_MAX = -8
"""Of glibc's `mallopt`: how many heaps there may be."""

SWITCH_S = 0.0005
"""How long a thread that computes keeps the interpreter while the loop wants it, which is once for every
socket that has something to say. CPython's own is 5 ms."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run(main)` on the faster loop: a turn of asyncio's own is Python code, and a challenge takes
    about six. Call it before there are threads."""
    _share_one_heap()
    sys.setswitchinterval(SWITCH_S)
    with asyncio.Runner(loop_factory=_factory()) as runner:
        return runner.run(main)


def _factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not made for Windows, nor for every interpreter on its first day
        return None
    return uvloop.new_event_loop


def _share_one_heap() -> None:
    """glibc gives threads heaps of their own, where what is free is lost to the others: each thread that has
    once read the ledger keeps the two megabytes of its pages. With one Python lock, threads hardly ever wait
    for each other at the heap."""
    import ctypes  # not for those who only ask for help

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:  # not musl
        mallopt(M_ARENA_MAX, 1)

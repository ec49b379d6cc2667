"""What glibc's allocator does with memory that is free, for a process of several threads.

Best called before there are threads: heaps that some have already, they keep. Without glibc nothing happens.
What it is worth: `python bench/heap.py`."""

from __future__ import annotations

import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Of `mallopt`: how much that is free at a heap's end goes back to the kernel; the size from which a block
gets a mapping of its own; how many heaps there may be."""

LARGE_BYTES = 128 * 1024
"""glibc's own threshold at a process's start."""


def share_one() -> None:
    """glibc gives threads heaps of their own, where what is free is lost to the others: each thread that has
    once read the ledger keeps the two megabytes of its pages. With one Python lock, threads hardly ever wait
    for each other at the heap. Large blocks (a body's) have mappings of their own and go back to the kernel
    with their last byte; left to itself, glibc takes them from the heap too once it has seen some."""
    _mallopt({M_ARENA_MAX: 1, M_MMAP_THRESHOLD: LARGE_BYTES})


def keep(freed: int = 1 << 30) -> None:
    """One heap, which keeps up to so many free bytes. A network's activations are megabytes that come and go
    with every layer. Given back and asked for each time, their pages are cleared anew, and where another
    thread runs on another core, that core is interrupted each time to forget them."""
    _mallopt({M_ARENA_MAX: 1, M_TRIM_THRESHOLD: freed, M_MMAP_THRESHOLD: freed})


def _mallopt(settings: dict[int, int]) -> None:
    import ctypes  # not for those who only ask for help

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:  # not musl
        for setting, value in settings.items():
            mallopt(setting, value)

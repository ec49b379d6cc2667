"""Whether a second engine fits beside the first."""

from __future__ import annotations

import os
from pathlib import Path

from miner.engine.child import SPARE_BYTES
from miner.share import free_bytes

__all__ = ["SPARE_BYTES", "free_bytes", "is_lack", "lack"]

FACTOR = 1.25
"""A candidate may be somewhat larger than what serves, and loading takes more than serving."""
_SIGNS = ("out of memory", "cannot allocate memory", "memoryerror", "not enough memory")


def lack(pid: int | None, free: int | None) -> str | None:
    """Why a second engine like the process `pid` does not fit in `free` bytes; None when it does, or nobody
    knows."""
    if free is None or pid is None:
        return None
    wanted = int(FACTOR * _resident(pid)) + SPARE_BYTES
    if free >= wanted:
        return None
    return f"no room for two engines: {free >> 20} MiB are free, {wanted >> 20} MiB are wanted"


def is_lack(why: str) -> bool:
    """Whether an engine's reason is that memory ran out, on the host or a GPU: no fault of a model's."""
    return any(sign in why.lower() for sign in _SIGNS)


def _resident(pid: int) -> int:
    """Bytes; 0 where the system does not say."""
    statm = Path(f"/proc/{pid}/statm")
    try:
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0

"""The miner's event loop: the fast one where it is there, a working one where not."""

from __future__ import annotations

import asyncio
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from miner import loop

ROOT = Path(__file__).resolve().parents[2]


async def which() -> str:
    return type(asyncio.get_running_loop()).__module__


def test_uvloop_runs_it_where_it_is_installed():
    pytest.importorskip("uvloop")
    assert loop.run(which()).startswith("uvloop")


def test_without_uvloop_it_runs_all_the_same(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop.run(which()).startswith("asyncio")


HEAPS = """
import asyncio, ctypes, threading
from miner import loop
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
async def work():
    await asyncio.gather(*(asyncio.to_thread(sum, map(len, map(str, range(9999)))) for _ in range(4)))
    stream = ctypes.c_void_p(libc.fdopen(1, b"w"))
    libc.malloc_info(0, stream)
    libc.fflush(stream)
loop.run(work())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives threads heaps")
def test_its_threads_share_one_heap_so_that_none_keeps_what_another_could_use():
    ran = subprocess.run(
        [sys.executable, "-c", HEAPS], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout.count("<heap nr=") == 1


def test_what_fails_in_it_is_raised():
    async def broken() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        loop.run(broken())

"""What the allocator does with memory that is free, asked in processes of their own."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

CHURN = """
import ctypes, resource, sys, threading
from models import heap
if "keep" in sys.argv:
    heap.keep()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
libc.free.argtypes = (ctypes.c_void_p,)
def layers(turns):
    for size in (3 << 20, 9 << 20, 40 << 20) * turns:
        block = libc.malloc(size)
        ctypes.memset(block, 1, size)
        libc.free(block)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def work():
    layers(2)
    before = faults()
    layers(10)
    print(faults() - before)
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def faulted(*arguments):
    ran = subprocess.run(
        [sys.executable, "-c", CHURN, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return int(ran.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
def test_what_a_thread_frees_it_gets_again_without_a_page_fault():
    assert 5 * faulted("keep") < faulted()  # huge pages make both few

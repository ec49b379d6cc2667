"""What a process at the front's other end of the socket has in common with any other: how it is told its
configuration, how it answers, and that it does not outlive the front."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from queue import SimpleQueue

from loguru import logger

from miner.engine import frames
from miner.engine.config import EngineConfig

_PR_SET_PDEATHSIG = 1


class Outbox:
    """Frames on their way to the front. A thread of its own writes, so that a slow reader delays no model;
    frames that came together go out in one write."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._frames: SimpleQueue[bytes] = SimpleQueue()
        threading.Thread(target=self._writing, name="outbox", daemon=True).start()

    def put(self, header: frames.Header) -> None:
        self._frames.put(frames.pack(header))

    def flush(self, timeout_s: float = 1.0) -> None:
        """Wait until the writer has nothing left to do, as far as one can tell."""
        end = time.monotonic() + timeout_s
        while not self._frames.empty() and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.05)

    def _writing(self) -> None:
        while True:
            pending = [self._frames.get()]
            while not self._frames.empty():
                pending.append(self._frames.get())
            try:
                self._sock.sendall(b"".join(pending))
            except OSError:
                os._exit(0)


def configured(sock: socket.socket, reader: frames.Reader) -> EngineConfig:
    """The first thing the front says. SystemExit when it is gone already."""
    while data := sock.recv(1 << 16):
        if complete := reader.feed(data):
            (header, _), *more = complete
            assert not more, "the front asks nothing before we are ready"
            return EngineConfig.from_json(header["config"])
    raise SystemExit(0)


def settle(parent: int) -> None:
    """Leave signals to the front, which drains and then closes the socket; log to it; end with it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _end_with(parent)
    logger.remove()
    logger.add(sys.stderr, format="{level}|{message}", level="INFO", backtrace=False, diagnose=False)


def rss() -> int:
    """Resident bytes of this process; 0 where the system does not say."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


def _end_with(parent: int) -> None:
    """The kernel kills us with the front, should it die without closing the socket. Elsewhere the socket's
    end does."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)

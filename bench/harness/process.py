"""A process as the kernel counts it, and one of ours that talks in JSON lines."""

from __future__ import annotations

import json
import os
import queue
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
TICKS = os.sysconf("SC_CLK_TCK")
OPEN = ("01", "04", "05", "08")
"""The kernel's numbers of the states in which a server still holds a socket."""
PAGE = os.sysconf("SC_PAGE_SIZE")
START_S = 60.0
ANSWER_S = 120.0


def cpu_s(pid: int) -> float:
    """CPU seconds of all its threads, user and system; children, also dead ones, excluded. Steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def children(pid: int) -> list[int]:
    """Its living child processes."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def rss_mb(pid: int) -> float:
    """Resident memory in 10^6 bytes, children excluded."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 1e6


def connections(port: int, besides: str = "127.0.0.1") -> int:
    """Open connections of a server on this host, those from the IPv4 address `besides` not counted."""
    honest = socket.inet_aton(besides)[::-1].hex().upper()
    rows = [
        row.split()
        for name in ("tcp", "tcp6")
        for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return sum(
        1
        for _, local, remote, state, *_ in rows
        if local.endswith(f":{port:04X}") and state in OPEN and not remote.partition(":")[0].endswith(honest)
    )


class TalkEnded(Exception):
    """The process ended or fell silent; the text ends with what it wrote to standard error."""


class Talk:
    """A child process that answers JSON lines with JSON lines. Blocking and thread-safe.

    `first` is sent before its greeting is awaited, for `patience_s`. Its standard error goes to `log`.
    """

    def __init__(
        self,
        command: list[str],
        log: Path,
        *,
        first: dict[str, Any] | None = None,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        patience_s: float = START_S,
    ) -> None:
        self._log = log
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=env,
                cwd=cwd,
                text=True,
            )
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()
        if first is not None:
            self._write(first)
        self.greeting = self._read(patience_s)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit status (negative: the signal that ended it), or None while it runs."""
        return self._process.poll()

    def ask(self, message: dict[str, Any], patience_s: float = ANSWER_S) -> dict[str, Any]:
        """Send one command and wait for its answer. Raises TalkEnded."""
        with self._lock:
            self._write(message)
            return self._read(patience_s)

    def close(self, patience_s: float = 5.0) -> None:
        """End of input, then a little patience, then a kill."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def _write(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise TalkEnded(f"{error}; it said: {self._said()}") from error

    def _read(self, patience_s: float) -> dict[str, Any]:
        try:
            line = self._answers.get(timeout=patience_s)
        except queue.Empty:
            raise TalkEnded(f"silent for {patience_s:.0f} s; it said: {self._said()}") from None
        if not line:
            raise TalkEnded(f"ended with {self._process.wait()}; it said: {self._said()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _said(self) -> str:
        return self._log.read_text()[-2000:]


def ours(module: str, log: Path, first: dict[str, Any] | None = None, *, patience_s: float = START_S) -> Talk:
    """One of the harness's modules in an interpreter like this one."""
    path = os.pathsep.join([str(ROOT / "bench"), str(ROOT)])
    env = {**os.environ, "PYTHONPATH": path}
    return Talk([sys.executable, "-m", module], log, first=first, env=env, cwd=ROOT, patience_s=patience_s)

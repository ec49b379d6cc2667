"""Our side of the talk with a process of an old SDK: one JSON line there, one JSON line back."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from environments import SCRIPTS, peer_environ

START_S = 60.0
ANSWER_S = 40.0


class PeerDied(Exception):
    """The process ended or fell silent; the text ends with what it wrote to standard error."""


class PeerProcess:
    """A script of `sdk/` in its own interpreter. Blocking and thread-safe: call it from a worker thread."""

    def __init__(self, python: Path, script: str, home: Path, first: dict[str, Any] | None = None) -> None:
        self._errors = (home / f"{script}-{os.urandom(4).hex()}.log").open("w+")
        self._process = subprocess.Popen(
            [str(python), str(SCRIPTS / script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=peer_environ(home),
            cwd=home,
            text=True,
        )
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()
        if first is not None:
            self._write(first)
        self.greeting = self._read(START_S)

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send one command and wait for its answer. Raises PeerDied."""
        with self._lock:
            self._write(message)
            return self._read(ANSWER_S)

    def close(self) -> None:
        """End of input, then a little patience, then a kill."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def __enter__(self) -> PeerProcess:
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
            raise PeerDied(f"{error}; it said: {self._said()}") from error

    def _read(self, patience_s: float) -> dict[str, Any]:
        try:
            line = self._answers.get(timeout=patience_s)
        except queue.Empty:
            raise PeerDied(f"silent for {patience_s:.0f} s; it said: {self._said()}") from None
        if not line:
            raise PeerDied(f"ended with {self._process.wait()}; it said: {self._said()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _said(self) -> str:
        self._errors.flush()
        return Path(self._errors.name).read_text()[-2000:]

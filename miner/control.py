"""The control socket: how the CLI asks a running miner (`control_server`), and how two miners are kept off
one data folder.

One JSON object a line, there and back: {"command": "status", "args": {...}}, then {"ok": true, "result": ...}
or {"ok": false, "error": "..."}.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from miner.errors import OperatorError

SOCKET_NAME, LOCK_NAME = "control.sock", "lock"
REPLY_BYTES = 8 * 2**20

Command = Callable[..., Awaitable[Any]]
"""Takes the request's args as keywords and returns plain JSON. A ValueError's text goes to the asker."""


class DataFolderBusy(Exception):
    """Another miner works on this data folder; the message says what to do."""


class ControlError(OperatorError):
    """The miner refused the command, or answered nothing sensible; the message is for people."""


class NotRunning(ControlError):
    """No miner listens on this socket."""


class DataFolder:
    """A data folder held by one process: made (0700), and locked until `release` or the process's end."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._lock: int | None = None

    def hold(self) -> None:
        """Idempotent. Raises DataFolderBusy, or OSError when the folder cannot be made."""
        if self._lock is not None:
            return
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(self.path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(lock)
            raise DataFolderBusy(
                f"another miner (process {owner}) works on {self.path}: "
                "stop it, or give this one its own --data.path"
            ) from None
        self._lock = lock
        with suppress(OSError):  # on a full disk the lock holds without a name in it
            os.truncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Idempotent. The lock file stays: removing it would let two processes lock two different files."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def call(path: Path, command: str, *, timeout_s: float = 5.0, **args: Any) -> Any:
    """Ask the miner that listens on `path`. Raises NotRunning or ControlError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(timeout_s)
        try:
            with short_path(Path(path)) as address:
                client.connect(address)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            raise NotRunning(f"no miner listens on {path}") from error
        try:
            client.sendall(encode({"command": command, "args": args}))
            line = _receive(client)
        except OSError as error:
            raise ControlError(f"the miner on {path} does not answer: {error}") from error
    return _result(line)


def _receive(client: socket.socket) -> bytes:
    with client.makefile("rb") as stream:
        return stream.readline(REPLY_BYTES)


def _result(line: bytes) -> Any:
    try:
        answer = json.loads(line)
    except ValueError as error:
        raise ControlError("the miner closed the connection without an answer") from error
    if not answer.get("ok"):
        raise ControlError(str(answer.get("error")))
    return answer["result"]


def encode(message: Any) -> bytes:
    """A message as its line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """A socket's address is at most 107 bytes: a longer path is reached through its folder's descriptor."""
    if len(os.fsencode(path)) < 100:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)

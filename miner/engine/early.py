"""An engine child that begins before the front has imported what it needs itself: both take seconds, and
there is more than one core.

What it is to judge is told later, by the first `Child` of the same command, which takes it over. Until then
it may import what every classifier needs. One process at most waits here.
"""

from __future__ import annotations

import asyncio
import os
import socket
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from miner.engine.blackbox import BlackBox

SOCKET_BYTES = 1 << 20
AHEAD = "ahead"
"""The word that tells a child to import before it is told its configuration."""
SLOTS = 1024
"""Of the black box of a child whose configuration is not known yet."""


@dataclass(frozen=True, slots=True)
class Spawned:
    """A process, our end of its socket, its black box; and the command it was made by."""

    process: Process
    socket: socket.socket
    box: BlackBox
    command: tuple[str, ...]


_waiting: list[Spawned] = []


async def begin(command: Sequence[str], environment: Mapping[str, str], *words: str) -> None:
    """Spawn one that waits for its configuration; `words` for it, such as AHEAD. Where none can be made, the
    start goes on without."""
    box = BlackBox.create(SLOTS)
    try:
        _waiting.append(await spawn(command, environment, box, *words))
    except OSError:  # the engine's own try comes later, and says so
        box.close()


def take(command: Sequence[str], slots: int) -> Spawned | None:
    """The one that waits, if it fits and lives."""
    while _waiting:
        found = _waiting.pop()
        fits = found.command == tuple(command) and slots <= SLOTS
        if fits and found.process.returncode is None:
            return found
        found.socket.close()  # it ends by that
        found.box.close()
    return None


async def spawn(
    command: Sequence[str], environment: Mapping[str, str], box: BlackBox, *words: str
) -> Spawned:
    """A child process at one end of a socket. Raises OSError when that is impossible."""
    ours, theirs = socket.socketpair()
    try:
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        ours.setblocking(False)
        fds = (theirs.fileno(), box.fd)
        process = await asyncio.create_subprocess_exec(
            *command,
            *map(str, (*fds, os.getpid())),
            *words,
            pass_fds=fds,
            stdin=DEVNULL,
            stderr=PIPE,
            env=environment,
        )
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    return Spawned(process, ours, box, tuple(command))

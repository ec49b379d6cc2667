"""The listening socket's own loop: accepts what waits, and backs off when the process can open no more.

asyncio's server would, on CPython 3.11, try as often as its backlog is long, and log a traceback each time:
with thousands of connections waiting, that is what the event loop then does.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

from loguru import logger

BACKLOG = 2048
"""Connections that the kernel keeps while nobody accepts them."""
AT_ONCE = 64
"""Accepted in one turn of the loop, so that a flood of them leaves time for those who are being answered."""
AGAIN_S = 0.5
NONE_WAITS = (BlockingIOError, InterruptedError, ConnectionAbortedError)


class Listener:
    """Serves each connection to `bound` by a protocol of its own from `start` to `close`."""

    def __init__(self, bound: socket.socket, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._socket, self._protocol = bound, protocol
        self._loop = asyncio.get_running_loop()
        self._again: asyncio.TimerHandle | None = None
        self._short = False
        self._connecting: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._socket.listen(BACKLOG)
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def close(self) -> None:
        """Take nothing new; what is being served goes on. Idempotent."""
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._socket.fileno())
        if self._again is not None:
            self._again.cancel()
        self._socket.close()

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                client, _ = self._socket.accept()
            except NONE_WAITS:
                return
            except OSError as error:  # no descriptor, no memory: it would be "readable" again at once
                self._rest(error)
                return
            self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        if self._short:
            logger.info("connections are accepted again")
            self._short = False
        client.setblocking(False)
        task = self._loop.create_task(self._serve(client))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _serve(self, client: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, client)
        except OSError as error:  # it left in the same moment
            logger.debug("a connection was gone before it was served: {}", error)
            client.close()

    def _rest(self, error: OSError) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._again = self._loop.call_later(AGAIN_S, self._resume)
        if not self._short:
            name = errno.errorcode.get(error.errno or 0, "")
            logger.error("no connection can be accepted, they wait in the kernel's queue: {} {}", error, name)
        self._short = True

    def _resume(self) -> None:
        self._again = None
        self._loop.add_reader(self._socket.fileno(), self._accept)

"""One request of a connection and the reply to it: a body on its way in, one write on its way out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from loguru import logger

from miner.wire import synapse
from miner.wire.auth import Incoming
from miner.wire.call import Asked

App = Callable[[Asked], Awaitable[None]]
"""Answers a request by one `send`."""
Tasks = dict["Reply", asyncio.Task[None]]
"""What is being answered, by whom."""


class Line(Protocol):
    """What a reply needs of its connection.

    `can_drain` tells whether the rest of the request's body is worth waiting for to keep the connection.
    """

    transport: asyncio.Transport

    def prove(self) -> None: ...

    def can_drain(self) -> bool: ...

    def resume_reading(self) -> None: ...

    def answered(self, reply: Reply) -> None: ...

    async def drain(self) -> None: ...


class Reply:
    """An `Asked`. `more_body` whether more of the request is to come; `keep_alive` whether the connection is
    good for another one."""

    __slots__ = (
        "_arrived",
        "_complete",
        "_disconnected",
        "_expects",
        "_line",
        "_parts",
        "_waiting",
        "address",
        "incoming",
        "keep_alive",
        "more_body",
        "path",
    )

    def __init__(
        self, line: Line, incoming: Incoming, path: str, address: str, *, keep_alive: bool, expects: bool
    ) -> None:
        self.incoming = incoming
        self.path = path
        self.address = address
        self.keep_alive = keep_alive
        self.more_body = True
        self._line = line
        self._expects = expects  # "100 Continue"
        self._parts: list[bytes] = []
        self._waiting = 0  # bytes in `_parts`
        self._arrived: asyncio.Event | None = None  # while the application waits for more
        self._complete = False
        self._disconnected = False

    # The connection's side.

    async def run(self, app: App, tasks: Tasks) -> None:
        """Have `app` answer; its task leaves `tasks` with its end."""
        try:
            await app(self)
        except Exception:  # noqa: BLE001 - the outermost edge of a request
            logger.exception("the application failed on a request")
        finally:
            if not self._complete:
                self._line.transport.abort()
            tasks.pop(self, None)

    def feed(self, body: bytes) -> int:
        """More of the body; bytes that wait for the application now."""
        if self._complete:
            return 0
        self._parts.append(body)
        self._waiting += len(body)
        self._wake()
        return self._waiting

    def complete(self) -> None:
        """The request is whole."""
        self.more_body = False
        self._wake()

    def disconnect(self) -> None:
        """The client has gone."""
        self._disconnected = True
        self._wake()

    def _wake(self) -> None:
        if self._arrived is not None:
            self._arrived.set()

    # The application's side.

    @property
    def gone(self) -> bool:
        return self._line.transport.is_closing()

    @property
    def whole(self) -> bool:
        return not self.more_body and not self._disconnected

    def prove(self) -> None:
        self._line.prove()

    def take(self) -> bytes:
        parts, self._parts, self._waiting = self._parts, [], 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def receive(self) -> bytes | None:
        line = self._line
        if self._expects and not line.transport.is_closing():
            line.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._expects = False
        while self.more_body and not self._parts and not self._disconnected:
            line.resume_reading()
            self._arrived = asyncio.Event()
            await self._arrived.wait()
            self._arrived = None
        return None if self._disconnected else self.take()

    async def send(self, reply: synapse.Reply) -> None:
        line = self._line
        if not self._disconnected:
            await line.drain()
        self._complete = True
        # A body that waits for "100 Continue" may now come or not: nothing tells it from a next request.
        unasked = self._expects and self.more_body
        self.keep_alive = self.keep_alive and not unasked and line.can_drain()
        if not line.transport.is_closing():
            line.transport.write(self._encoded(reply))
        line.answered(self)

    def _encoded(self, reply: synapse.Reply) -> bytes:
        _, head, content = reply
        end = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        return head + end if self.incoming.method == "HEAD" else head + end + content

"""A request's body on its way in and the reply to it, as ASGI sees them. A reply is held until its body is
there and then written in one piece."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Protocol

from loguru import logger

STATUS_LINE = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
STATUS_LINE[499] = b"HTTP/1.1 499 Client Closed Request\r\n"
App = Callable[[Any, Any, Any], Awaitable[None]]


class Line(Protocol):
    """What a reply needs of its connection.

    `can_drain` tells whether the rest of the request's body is worth waiting for to keep the connection.
    """

    transport: asyncio.Transport

    def can_drain(self) -> bool: ...

    def resume_reading(self) -> None: ...

    def answered(self, reply: Reply) -> None: ...

    async def drain(self) -> None: ...


class Reply:
    """One request and its reply. `more_body` whether more of the request is to come; `keep_alive` whether the
    connection is good for another one."""

    __slots__ = (
        "_arrived",
        "_complete",
        "_disconnected",
        "_expects",
        "_line",
        "_parts",
        "_scope",
        "_start",
        "keep_alive",
        "more_body",
    )

    def __init__(self, line: Line, scope: Any, *, keep_alive: bool, expects: bool) -> None:
        self._line = line
        self._scope = scope
        self._expects = expects  # "100 Continue"
        self._parts: list[bytes] = []
        self._arrived: asyncio.Event | None = None  # while the application waits for more
        self._start: Any = None
        self._complete = False
        self._disconnected = False
        self.keep_alive = keep_alive
        self.more_body = True

    # The connection's side.

    async def run(
        self, app: Callable[[Any, Any, Any], Awaitable[None]], tasks: set[asyncio.Task[None]]
    ) -> None:
        """Have `app` answer; this task leaves `tasks` with its end."""
        try:
            await app(self._scope, self.receive, self.send)
        except Exception:  # noqa: BLE001 - the outermost edge of a request
            logger.exception("the application failed on a request")
        finally:
            if not self._complete:
                self._line.transport.abort()
            tasks.discard(asyncio.current_task())

    def feed(self, body: bytes) -> int:
        """More of the body; bytes that wait for the application now."""
        if self._complete:
            return 0
        self._parts.append(body)
        self._wake()
        return sum(map(len, self._parts))

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

    async def receive(self) -> dict[str, Any]:
        line = self._line
        if self._expects and not line.transport.is_closing():
            line.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._expects = False
        while self.more_body and not self._parts and not self._disconnected and not self._complete:
            line.resume_reading()
            self._arrived = asyncio.Event()
            await self._arrived.wait()
            self._arrived = None
        if self._disconnected or self._complete:
            return {"type": "http.disconnect"}
        parts, self._parts = self._parts, []
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        if self._start is None or self._complete or message.get("more_body", False):
            raise RuntimeError("this server sends a reply as one start and one body")
        line = self._line
        if not self._disconnected:
            await line.drain()
        self._complete = True
        # A body that waits for "100 Continue" may now come or not: nothing tells it from a next request.
        unasked = self._expects and self.more_body
        self.keep_alive = self.keep_alive and not unasked and line.can_drain()
        if not line.transport.is_closing():
            line.transport.write(self._encoded(message.get("body", b"")))
        self._wake()
        line.answered(self)

    def _encoded(self, body: bytes) -> bytes:
        parts = [STATUS_LINE[self._start["status"]]]
        for name, value in self._start["headers"]:
            parts += (name, b": ", value, b"\r\n")
        parts.append(b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
        if self._scope["method"] != "HEAD":
            parts.append(body)
        return b"".join(parts)

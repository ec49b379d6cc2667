"""A reply as uvicorn's cycle sends it, but held until its body is there and then written in one piece."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from loguru import logger
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle


class Reply(RequestResponseCycle):
    """One request and its reply.

    `can_drain` tells whether the rest of the request's body is worth waiting for to keep the connection.
    """

    can_drain: Callable[[], bool]
    _start: Any = None

    async def run_asgi(self, app: Any) -> None:
        try:
            await app(self.scope, self.receive, self.send)
        except Exception:  # noqa: BLE001 - the outermost edge of a request
            logger.exception("the application failed on a request")
        finally:
            if not self.response_complete:
                self.transport.abort()

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            self.response_started = True
            return
        if self._start is None or self.response_complete or message.get("more_body", False):
            raise RuntimeError("this server sends a reply as one start and one body")
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        self.response_complete = True
        # A body that waits for "100 Continue" may now come or not: nothing tells it from a next request.
        unasked = self.waiting_for_100_continue and self.more_body
        self.keep_alive = self.keep_alive and not unasked and self.can_drain()
        if not self.transport.is_closing():
            self.transport.write(self._encoded(message.get("body", b"")))
        self.message_event.set()
        self.on_response()

    def _encoded(self, body: bytes) -> bytes:
        parts = [STATUS_LINE[self._start["status"]]]
        for name, value in self._start["headers"]:
            parts += (name, b": ", value, b"\r\n")
        parts.append(b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
        if self.scope["method"] != "HEAD":
            parts.append(body)
        return b"".join(parts)

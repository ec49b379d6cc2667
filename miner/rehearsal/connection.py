"""One keep-alive HTTP/1.1 connection of a caller: a request out, a reply back."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import cast

import httptools


class Disconnected(ConnectionError):
    """The other side closed the connection before its reply was complete."""


class Connection(asyncio.Protocol):
    """Carries one request at a time. `uuid` names it in signatures, where nonces of one uuid must rise."""

    def __init__(self) -> None:
        self.uuid = str(uuid.uuid1())
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[tuple[int, bytes]] | None = None
        self._chunks: list[bytes] = []
        self._persistent = True

    @property
    def usable(self) -> bool:
        """Whether another request can be sent over it."""
        return self._persistent and self._transport is not None and not self._transport.is_closing()

    async def ask(self, parts: Sequence[bytes]) -> tuple[int, bytes]:
        """Send one request, wait for (status, body). Raises Disconnected, or HttpParserError for no HTTP."""
        if self._transport is None or not self.usable:
            raise Disconnected("closed before the request")
        self._chunks.clear()
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.writelines(parts)
        return await self._waiter

    def close(self) -> None:
        """Drop the connection at once, with whatever was in flight."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not derived from it

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(error)
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._persistent = False
        self._fail(Disconnected(str(error or "closed by the other side")))

    def on_body(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        self._persistent = self._parser.should_keep_alive()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result((self._parser.get_status_code(), b"".join(self._chunks)))

    def _fail(self, error: Exception) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)

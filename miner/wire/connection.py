"""One client's connection: HTTP/1.1 by httptools, a deadline per phase, a bound per buffer.

A connection that stalls anywhere outside the application is closed by a deadline; an early refusal can be
read by the client although its body is still on the way.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, cast
from urllib.parse import unquote

import httptools

from miner.records import Refusal
from miner.settings import Wire
from miner.wire.auth import Incoming
from miner.wire.budgets import network
from miner.wire.reply import App, Reply, Tasks
from miner.wire.synapse import PATH, STATUS_LINE

HEAD_BYTES = 32 * 1024
"""Most bytes of a request's line and headers; a Dendrite sends about one thousand."""
HEADERS = 100
"""Most headers of a request: each costs a hundred bytes here, however short it is on the wire."""
PIPELINE = 8
"""Most requests that may wait behind the one being answered; nobody legitimate pipelines at all."""
LINGER_BYTES = 1 << 20
LINGER_S = 2.0
"""After a refusal of a body too large to wait for: read and throw away at most this much, for at most this
long, so that the client sees the reply instead of a reset."""

UNREAD_BYTES = 65_536
"""Most bytes of a body that wait for the application before the socket is left alone."""

NEVER = float("inf")
END_OF_HEAD = b"\r\n\r\n"
TARGET = PATH.encode()


class Keeper(Protocol):
    """Who keeps the list of open connections and makes room."""

    def add(self, connection: Connection) -> None: ...

    def proven(self, connection: Connection) -> None: ...

    def remove(self, connection: Connection) -> None: ...


class Connection(asyncio.Protocol):
    """`deadline` is the `time.monotonic()` second at which it may be closed.

    `tasks` those of all connections, each answering one request with `app`."""

    def __init__(
        self,
        app: App,
        tasks: Tasks,
        wire: Wire,
        keeper: Keeper,
        refused: Refusal,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._tasks = tasks
        self._wire = wire
        self._keeper = keeper
        self._refused = refused
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._raw: dict[bytes, bytes] = {}  # headers of what is being parsed
        self.on_header = self._raw.__setitem__  # no Python runs for each of them
        self._parser: Any = httptools.HttpRequestParser(self)
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)  # a pipeline behind a last one
        self.transport: asyncio.Transport = None  # type: ignore[assignment] # until it is connected
        self.deadline = NEVER
        self.network = ""
        self.proven = False
        self._address = ""
        self._reading = True
        self._writable: asyncio.Event | None = None  # while the client does not read
        self._current: Reply | None = None  # whose request is being parsed
        self._active: Reply | None = None  # being answered now
        self._pipeline: deque[Reply] = deque()
        self._phase = "new"  # of what is parsed: "new", "idle", "head", "body"; "linger": nothing any more
        self._messages = 0
        self._turned = False  # another phase began since it was armed
        self._head_bytes = 0
        self._rest_bytes = 0  # of the current message, headers excluded, framing included
        self._declared: int | None = None
        self._url = b""
        self._tail = b""  # of an unfinished head: its end may be split

    # What the server sees.

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self._active is not None

    def expire(self) -> None:
        """The deadline has passed."""
        if self._phase == "head":
            self._refused(408, "head_time")
        self.transport.abort()

    def shutdown(self) -> None:
        """Finish the request being answered, if any, then close."""
        self._pipeline.clear()
        if self._active is None:
            self.transport.close()
        else:
            self._active.keep_alive = False

    def can_drain(self) -> bool:
        """Whether the rest of the current request's body is worth waiting for to keep the connection."""
        if self._phase != "body":
            return True
        return self._declared is not None and self._declared <= self._wire.body_bytes

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast(asyncio.Transport, transport)  # uvloop's are not derived from it
        host = _host(transport.get_extra_info("peername"))
        self._address = host.removeprefix("::ffff:") if "." in host else host
        self.network = network(host)
        self._arm()
        self._keeper.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._keeper.remove(self)
        for reply in (self._active, self._current):
            if reply is not None:
                reply.disconnect()
        if self._writable is not None:
            self._writable.set()
        self._parser = self._current = None  # no reference cycles are left: memory comes back at once

    def data_received(self, data: bytes) -> None:
        if self._phase == "linger":
            self._discard(len(data))
            return
        between, messages = self._phase in ("new", "idle"), self._messages
        if (between or self._phase == "head") and self._oversized(data):
            self._refuse(431, "head_size")
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(400, "http")
            return
        if self._phase == "body":
            self._raw.clear()  # a chunked body's trailer: nobody reads it
            self._rest_bytes += len(data)
            if self._rest_bytes > 2 * self._wire.body_bytes + LINGER_BYTES:
                self.transport.abort()
        elif self._phase != "idle" and self._messages - messages <= between:  # all of it is one head's
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(431, "head_size")
                return
        if self._turned:
            self._turned = False
            self._arm()

    def _oversized(self, data: bytes) -> bool:
        """Whether the head that begins or goes on here is too long, or has more lines than are taken: to
        count them takes a hundredth of what it takes to parse them."""
        if self._phase == "head":
            data = self._tail + data
        end = data.find(END_OF_HEAD, 0, HEAD_BYTES)
        if end < 0:
            end = len(data)
            self._tail = data[1 - len(END_OF_HEAD) :]
        return end > HEAD_BYTES or data.count(b"\n", 0, end) > HEADERS

    def pause_writing(self) -> None:
        """The client does not read its replies: it has as long as a request's headers may take."""
        self._writable = self._writable or asyncio.Event()
        self.deadline = self._now() + self._wire.header_timeout_s

    def resume_writing(self) -> None:
        if self._writable is not None:
            self._writable.set()
        self._writable = None
        self._arm()

    # What a reply asks of it.

    def prove(self) -> None:
        if not self.proven:
            self.proven = True
            self._keeper.proven(self)

    async def drain(self) -> None:
        """Until the client reads, or is gone."""
        if self._writable is not None:
            await self._writable.wait()

    def resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            self.transport.resume_reading()

    def answered(self, reply: Reply) -> None:
        """The reply is out, or nobody wants it: the next one's turn."""
        if self._active is reply:
            self._active = None
        if self.transport.is_closing():
            return
        self.resume_reading()
        if not reply.keep_alive:
            self._leave()
            return
        if self._pipeline:
            self._run(self._pipeline.popleft())
        self._arm()

    # The parser's side. What is raised here reaches `data_received` as HttpParserCallbackError.

    def on_message_begin(self) -> None:
        self._messages += 1
        self._turned = True
        self._phase = "head"
        self._head_bytes = 0
        self._url = b""
        self._raw.clear()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_headers_complete(self) -> None:
        parser = self._parser
        if parser.should_upgrade() or len(self._pipeline) >= PIPELINE:
            raise ValueError("upgrades are not spoken here, deep pipelines not served")
        if len(self._raw) > HEADERS:
            raise ValueError("too many headers")
        headers = dict(zip(map(bytes.lower, self._raw), self._raw.values(), strict=True))
        self._raw.clear()
        declared = headers.get(b"content-length")
        self._declared = None if declared is None else int(declared)
        self._phase = "body"
        self._head_bytes = self._rest_bytes = 0
        self._tail = b""
        path, target = _split(self._url)
        reply = self._current = Reply(
            self,
            Incoming(parser.get_method().decode("ascii"), target, headers),
            path,
            self._address,
            keep_alive=parser.should_keep_alive() and parser.get_http_version() != "1.0",
            expects=b"expect" in headers and headers[b"expect"].lower() == b"100-continue",
        )
        if self._active is None:
            self._run(reply)
        else:
            self._pause_reading()
            self._pipeline.append(reply)

    def on_body(self, body: bytes) -> None:
        assert self._current is not None
        if self._current.feed(body) > UNREAD_BYTES:
            self._pause_reading()

    def on_message_complete(self) -> None:
        assert self._current is not None
        self._turned = True
        self._phase = "idle"
        self._current.complete()

    # Our own.

    def _run(self, reply: Reply) -> None:
        self._active = reply
        self._tasks[reply] = self._loop.create_task(reply.run(self._app, self._tasks))

    def _pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self.transport.pause_reading()

    def _arm(self) -> None:
        """Give the current phase its deadline. While the application is at work, the deadlines are its
        own."""
        wire = self._wire
        if self._writable is not None:
            return  # until the client reads, the deadline for that stands
        if self._active is not None:
            self.deadline = NEVER
        elif self._phase == "body":
            self.deadline = self._now() + wire.body_timeout_s
        elif self._phase == "idle":
            self.deadline = self._now() + wire.keep_alive_s
        else:
            self.deadline = self._now() + wire.header_timeout_s

    def _refuse(self, status: int, reason: str) -> None:
        """Not a request at all: say so if nobody is being answered, and leave."""
        self._refused(status, reason)
        if self._active is not None:
            self.transport.abort()
            return
        self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self._leave()

    def _leave(self) -> None:
        """Close; but while the client may still be sending, only after a bounded time of not listening."""
        if self._phase == "idle":
            self.transport.close()
            return
        self._phase = "linger"
        self._rest_bytes = 0
        self.deadline = self._now() + LINGER_S
        self.transport.write_eof()

    def _discard(self, size: int) -> None:
        self._rest_bytes += size
        if self._rest_bytes > LINGER_BYTES:
            self.transport.abort()


def _split(url: bytes) -> tuple[str, str]:
    """The path of a request's target, and the target with its query but without scheme and host."""
    if url == TARGET:
        return PATH, PATH
    parsed = httptools.parse_url(url)
    path, query = parsed.path, parsed.query
    raw = path.decode("ascii")
    target = path + b"?" + query if query else path
    return (unquote(raw) if "%" in raw else raw), target.decode("latin-1")


def _host(of: Any) -> str:
    """Out of what a socket calls its peer; "" for one without."""
    return str(of[0]) if isinstance(of, tuple) and len(of) >= 2 else ""

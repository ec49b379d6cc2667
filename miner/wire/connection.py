"""One client's connection: uvicorn's httptools protocol, a deadline per phase, a bound per buffer.

Two things uvicorn does not do: a connection that stalls anywhere outside the application is closed by a
deadline; an early refusal can be read by the client although its body is still on the way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from miner.records import Refusal
from miner.settings import Wire
from miner.wire.budgets import network
from miner.wire.call import PEER
from miner.wire.reply import Reply

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

NEVER = float("inf")


class Keeper(Protocol):
    """Who keeps the list of open connections and makes room."""

    def add(self, connection: Connection) -> None: ...

    def proven(self, connection: Connection) -> None: ...

    def remove(self, connection: Connection) -> None: ...


class Connection(HttpToolsProtocol):
    """A `Peer` for the endpoint. `deadline` is the `time.monotonic()` second at which it may be closed."""

    def __init__(
        self,
        config: Config,
        state: ServerState,
        wire: Wire,
        keeper: Keeper,
        refused: Refusal,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(config, state, {})
        self._wire = wire
        self._keeper = keeper
        self._refused = refused
        self._now = now
        self._extensions: dict[str, Any] = {PEER: self}
        self.deadline = NEVER
        self.network = ""
        self.proven = False
        self._active: Reply | None = None  # being answered now
        self._phase = (
            "new"  # of what is being parsed: "new", "idle", "head", "body"; "linger" parses nothing more
        )
        self._messages = 0
        self._head_bytes = 0
        self._rest_bytes = 0  # of the current message, headers excluded, framing included
        self._declared: int | None = None

    # What the endpoint sees.

    @property
    def gone(self) -> bool:
        return self.transport.is_closing()

    def prove(self) -> None:
        if not self.proven:
            self.proven = True
            self._keeper.proven(self)

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
        self.pipeline.clear()
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

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        host, port = self.client or ("", 0)
        self.client = (host.removeprefix("::ffff:") if "." in host else host, port)
        self.network = network(host)
        self._arm()
        self._keeper.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._keeper.remove(self)
        if self._active is not None:
            self._active.disconnected = True
            self._active.message_event.set()
        super().connection_lost(exc)
        self.cycle = self.scope = None  # type: ignore[assignment]
        self._extensions = {}  # no reference cycles are left: memory comes back without the collector

    def data_received(self, data: bytes) -> None:
        if self._phase == "linger":
            self._discard(len(data))
            return
        was, messages = self._phase, self._messages
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(400, "http")
            return
        if was != "body" and self._phase in ("new", "idle", "head") and messages == self._messages:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(431, "head_size")
        elif self._phase == "body":
            self._rest_bytes += len(data)
            if self._rest_bytes > 2 * self._wire.body_bytes + LINGER_BYTES:
                self.transport.abort()

    def pause_writing(self) -> None:
        """The client does not read its replies: it has as long as a request's headers may take."""
        super().pause_writing()
        self.deadline = self._now() + self._wire.header_timeout_s

    def resume_writing(self) -> None:
        super().resume_writing()
        self._arm()

    # The parser's side. What is raised here reaches `data_received` as HttpParserCallbackError.

    def on_message_begin(self) -> None:
        self._messages += 1
        self._phase = "head"
        self._head_bytes = 0
        self._declared = None
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._arm()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase != "head":
            return  # a chunked body's trailer: nobody reads it
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > HEAD_BYTES:
            raise ValueError("headers too large")
        if len(self.headers) >= HEADERS:
            raise ValueError("too many headers")
        name = name.lower()
        if name == b"content-length":
            self._declared = int(value)
        elif name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self.parser
        if parser.should_upgrade() or len(self.pipeline) >= PIPELINE:
            raise ValueError("upgrades are not spoken here, deep pipelines not served")
        version = parser.get_http_version()
        self._phase = "body"
        self._head_bytes = self._rest_bytes = 0
        reply = self.cycle = Reply(
            scope=self._scope(version, parser.get_method().decode("ascii")),
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=[],
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        reply.can_drain = self.can_drain
        if self._active is None:
            self._run(reply)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((reply, self.app))

    def on_body(self, body: bytes) -> None:
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        self._phase = "idle"
        if not self.cycle.response_complete:
            self.cycle.more_body = False
            self.cycle.message_event.set()
        self._arm()

    def on_response_complete(self) -> None:
        reply, self._active = self._active, None
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if reply is not None and not reply.keep_alive:
            self._leave()
        elif self.pipeline:
            self._run(self.pipeline.pop()[0])
        else:
            self._arm()

    # Our own.

    def _scope(self, version: str, method: str) -> Any:
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "method": method,
            "scheme": "http",
            "server": self.server,
            "client": self.client,
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": url.path,
            "query_string": url.query or b"",
            "headers": self.headers,
            "extensions": self._extensions,
        }
        return self.scope

    def _run(self, reply: Any) -> None:
        self._active = reply
        self._arm()
        self._start_asgi_task(reply, self.app)

    def _arm(self) -> None:
        """Give the current phase its deadline. While the application is at work, the deadlines are its
        own."""
        wire = self._wire
        if self.flow.write_paused:
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

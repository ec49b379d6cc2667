"""The listening socket: bound at start or refused with a sentence, few connections, drained at stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import socket
import time
from collections.abc import Callable

from loguru import logger

from miner.records import Refusal
from miner.settings import Axon, Wire
from miner.wire.connection import Connection
from miner.wire.listener import Listener
from miner.wire.reply import App, Tasks

SWEEP_S = 0.25
"""How often deadlines are looked at; a deadline is kept to within this."""
SPARE_FILES = 128
"""File descriptors left for everything that is not a validator's socket."""


class BindError(Exception):
    """The wire cannot listen where the settings say; the text is a sentence for the operator."""


class PortTaken(BindError):
    """Somebody else listens there already."""


class Crowd:
    """The open connections. A newcomer always gets its chance: who goes is the oldest that never proved
    itself.

    A connection is proven once it has carried a request whose signature verified. `per_address` bounds the
    unproven ones of one network address (an IPv6 /64), `limit` all of them; where all are proven, the idlest
    goes.
    """

    def __init__(self, limit: int, per_address: int, refused: Refusal) -> None:
        self._limit = limit
        self._per_address = per_address
        self._refused = refused
        self._open: dict[Connection, None] = {}
        self._unproven: dict[Connection, None] = {}  # oldest first, like each of the next
        self._networks: dict[str, dict[Connection, None]] = {}

    def __len__(self) -> int:
        return len(self._open)

    @property
    def unproven(self) -> int:
        return len(self._unproven)

    def connections(self) -> list[Connection]:
        return list(self._open)

    def add(self, connection: Connection) -> None:
        same = self._networks.setdefault(connection.network, {})
        if len(same) >= self._per_address:
            self._evict(next(iter(same)), "address_connections")
        if len(self._open) >= self._limit:
            self._evict(self._least(), "connections")
        self._open[connection] = None
        self._unproven[connection] = None
        self._networks.setdefault(connection.network, {})[connection] = None

    def proven(self, connection: Connection) -> None:
        self._unproven.pop(connection, None)
        same = self._networks.get(connection.network, {})
        same.pop(connection, None)
        if not same:
            self._networks.pop(connection.network, None)

    def remove(self, connection: Connection) -> None:
        self._open.pop(connection, None)
        self.proven(connection)

    def sweep(self, now: float) -> None:
        """Close whoever has outstayed its deadline."""
        for connection in [c for c in self._open if c.deadline <= now]:
            connection.expire()

    def _least(self) -> Connection:
        if self._unproven:
            return next(iter(self._unproven))
        return min(self._open, key=lambda c: c.deadline)

    def _evict(self, connection: Connection, reason: str) -> None:
        self._refused(503, reason)
        self.remove(connection)
        connection.transport.abort()


class Server:
    """Serves `app` on `axon.ip` and `axon.port` (0: any free one). Installs no signal handlers.

    "[::]" is one socket for IPv6 and IPv4; on a host without IPv6 it is "0.0.0.0", and the log says so.
    `refused(status, reason)` counts what never becomes a request.
    """

    def __init__(
        self,
        app: App,
        axon: Axon,
        wire: Wire,
        *,
        refused: Refusal = lambda status, reason: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._axon = axon
        self._wire = wire
        self._refused = refused
        self._now = now
        self._app = app
        self._tasks: Tasks = {}
        self.crowd = Crowd(_affordable(wire.connections), wire.unproven_per_address, refused)
        self._listener: Listener | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self.port = 0

    async def start(self) -> None:
        """Bind and listen. Raises BindError; PortTaken when the port is in use."""
        bound = bind(self._axon.ip, self._axon.port)
        self.port = bound.getsockname()[1]
        self._listener = Listener(bound, self._connection)
        self._listener.start()
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self, drain_s: float) -> None:
        """Stop accepting, let what is being answered finish for at most `drain_s` seconds, close.
        Idempotent."""
        if self._listener is None or self._sweeper is None:
            return
        self._listener.close()
        for connection in self.crowd.connections():
            connection.shutdown()
        if self._tasks:
            await asyncio.wait(set(self._tasks.values()), timeout=drain_s)
        await self._close_all()
        self._sweeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._sweeper
        self._listener = self._sweeper = None

    def _connection(self) -> Connection:
        return Connection(self._app, self._tasks, self._wire, self.crowd, self._refused, self._now)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self.crowd.sweep(self._now())

    async def _close_all(self) -> None:
        """End what has not finished; give the last replies a moment to leave the process."""
        late = set(self._tasks.values())
        for task in late:
            task.cancel()
        if late:
            logger.warning("{} challenges were still being answered when the wire closed", len(late))
            await asyncio.wait(late)
        for _ in range(20):
            if not any(c.transport.get_write_buffer_size() for c in self.crowd.connections()):
                break
            await asyncio.sleep(0.05)
        for connection in self.crowd.connections():
            connection.transport.abort()
        await asyncio.sleep(0)


def bind(host: str, port: int) -> socket.socket:
    """A bound TCP socket. Raises BindError with a sentence."""
    host = host.strip("[]")
    try:
        return _bound(host, port)
    except OSError as error:
        if host == "::" and error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            logger.warning("this host has no IPv6: the wire listens on IPv4 alone")
            return bind("0.0.0.0", port)
        raise _explained(error, host, port) from error


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
        bound.bind((host, port))
        bound.listen(1)  # two sockets may be bound to one port; that it is taken shows here
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound


def _explained(error: OSError, host: str, port: int) -> BindError:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(f"port {port} is taken on {host}: stop whoever listens there, or set axon.port")
    if error.errno == errno.EACCES:
        return BindError(f"port {port} needs privileges: set axon.port to one above 1023")
    if error.errno == errno.EADDRNOTAVAIL:
        return BindError(
            f"this host has no address {host}: set axon.ip to one it has, or to [::]; "
            "a router's public one is axon.external_ip"
        )
    return BindError(f"cannot listen on {host} port {port}: {error.strerror or error}")


def _affordable(connections: int) -> int:
    """The settings' limit, or what the process may open: the soft limit on files is raised as far as it
    goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
        if soft < wanted:
            logger.warning("only {} open files are allowed: the wire takes fewer connections", soft)
            return max(16, soft - SPARE_FILES)
    return connections

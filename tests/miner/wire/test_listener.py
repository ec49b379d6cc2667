"""Accepting connections while there are descriptors, and while there are none."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import Iterator

import pytest
from loguru import logger

from miner.wire.listener import AGAIN_S, BACKLOG, Listener


class Greeting(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


@pytest.fixture
async def listener():
    made = Listener(socket.create_server(("127.0.0.1", 0)), Greeting)
    made._socket.setblocking(False)
    made.start()
    yield made
    made.close()


@pytest.fixture
def lines() -> Iterator[list[str]]:
    heard: list[str] = []
    sink = logger.add(lambda message: heard.append(message.record["message"]))
    yield heard
    logger.remove(sink)


def address(listener: Listener) -> tuple[str, int]:
    host, port = listener._socket.getsockname()
    return host, port


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """Nothing can be opened in this process."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.dup(0)
    os.close(probe)  # the lowest number that is free
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_each_connection_gets_a_protocol_of_its_own(listener: Listener):
    async def greeted() -> bytes:
        reader, writer = await asyncio.open_connection(*address(listener))
        try:
            return await reader.read()
        finally:
            writer.close()

    assert await asyncio.gather(*(greeted() for _ in range(200))) == [b"hello"] * 200


async def test_without_descriptors_connections_wait_quietly_and_are_served_when_there_are_some(
    listener: Listener, lines: list[str], monkeypatch
):
    tries = []
    rest = Listener._rest
    monkeypatch.setattr(Listener, "_rest", lambda self, error: (tries.append(1), rest(self, error)))
    clients = [socket.socket() for _ in range(20)]
    loop = asyncio.get_running_loop()
    for client in clients:
        client.setblocking(False)
    with no_descriptors():
        await asyncio.gather(*(loop.sock_connect(client, address(listener)) for client in clients))
        await asyncio.sleep(2.5 * AGAIN_S)
    assert [await loop.sock_recv(client, 100) for client in clients] == [b"hello"] * 20
    for client in clients:
        client.close()
    assert 2 <= len(tries) <= 6 < BACKLOG, "one try at a time, with pauses"
    assert sum("no connection can be accepted" in line for line in lines) == 1
    assert sum("accepted again" in line for line in lines) == 1


async def test_a_closed_listener_takes_nothing_and_lets_go_of_the_port(listener: Listener):
    host, port = address(listener)
    listener.close()
    listener.close()
    with pytest.raises(OSError):
        await asyncio.open_connection(host, port)
    socket.create_server((host, port)).close()

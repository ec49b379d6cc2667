"""All connections, over real sockets: who makes room, what a stop finishes, which addresses it serves."""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
from pathlib import Path

import pytest
from server_kit import Client, axon, house, request, until
from wire_kit import verdict

from miner.settings import Wire
from miner.wire.server import BindError, PortTaken, Server, _affordable, bind


async def test_past_the_cap_the_oldest_unproven_goes_and_the_proven_stay():
    async with house(connections=6, unproven_per_address=100) as home:
        validator = await home.client()
        validator.send(request())
        assert (await validator.reply())[0] == 200
        squatters = [await home.client() for _ in range(12)]
        await until(lambda: home.server.crowd.unproven == 5)
        assert len(home.server.crowd) == 6
        assert all([await client.closed() for client in squatters[:7]])
        validator.send(request())
        assert (await validator.reply())[0] == 200
        late = await home.client()
        late.send(request())
        assert (await late.reply())[0] == 200
        assert set(home.refusals) == {(503, "connections")}


async def test_where_everybody_is_proven_the_idlest_makes_room():
    async with house(connections=2) as home:
        both = []
        for _ in range(2):
            client = await home.client()
            client.send(request())
            assert (await client.reply())[0] == 200
            both.append(client)
        third = await home.client()
        third.send(request())
        assert (await third.reply())[0] == 200
        assert await both[0].closed()
        both[1].send(request())
        assert (await both[1].reply())[0] == 200


async def test_one_address_has_only_so_many_unproven_connections():
    async with house(unproven_per_address=4) as home:
        squatters = [await home.client() for _ in range(10)]
        validator = await home.client()
        validator.send(request())
        assert (await validator.reply())[0] == 200
        assert all([await client.closed() for client in squatters[:7]])
        assert len(home.server.crowd) == 4
        assert set(home.refusals) == {(503, "address_connections")}


async def test_stop_finishes_what_is_in_flight_and_takes_nothing_new():
    async with house() as home:
        go = asyncio.Event()

        async def judge(asked):
            await go.wait()
            return verdict(asked, 0.5)

        home.engine.act = judge
        busy, idle, half = [await home.client() for _ in range(3)]
        busy.send(request())
        half.send(b"POST /Im")
        await until(lambda: home.engine.requests)
        stopping = asyncio.create_task(home.server.stop(10))
        assert await idle.closed()
        assert await half.closed()
        with pytest.raises(ConnectionError):
            await home.client()
        go.set()
        status, named, _ = await busy.reply()
        assert (status, named["connection"]) == (200, "close")
        assert await busy.closed()
        await stopping
        assert len(home.server.crowd) == 0


async def test_stop_does_not_wait_for_ever():
    async with house() as home:

        async def judge(asked):
            await asyncio.Event().wait()

        home.engine.act = judge
        client = await home.client()
        client.send(request())
        await until(lambda: home.engine.requests)
        await home.server.stop(0.05)
        assert (await client.reply())[0] == 503
        assert await client.closed()
        await home.server.stop(0.05)
        (exchange,) = home.exchanges
        assert (exchange.outcome, exchange.notes) == ("unavailable", ("reason:stopping",))


async def test_a_stopped_port_can_be_bound_again_at_once():
    async with house() as home:
        client = await home.client()
        client.send(request())
        await client.reply()
        port = home.server.port
    again = Server(home.server._app, axon(port), home.wire)
    await again.start()
    assert again.port == port
    await again.stop(0)


async def test_a_taken_port_is_said_at_start():
    async with house() as home:
        second = Server(home.server._app, axon(home.server.port), home.wire)
        with pytest.raises(PortTaken, match=f"port {home.server.port} is taken .* set axon.port"):
            await second.start()
        assert second.port == 0
        wide = Server(home.server._app, axon(home.server.port, "[::]"), home.wire)
        with pytest.raises(PortTaken):
            await wide.start()


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "no.such.host.invalid"])
async def test_an_address_that_is_not_ours_is_said_at_start(address):
    with pytest.raises(BindError) as caught:
        await Server(None, axon(ip=address), Wire()).start()
    assert not isinstance(caught.value, PortTaken)
    assert address in str(caught.value)
    assert ("axon.external_ip" in str(caught.value)) == (address != "no.such.host.invalid")


@pytest.mark.parametrize("number", ["EACCES", "EMFILE"])
def test_every_failure_to_bind_is_a_sentence(monkeypatch, number):
    def fail(*_):
        raise OSError(getattr(errno, number), "why")

    monkeypatch.setattr(socket.socket, "bind", fail)
    with pytest.raises(BindError, match="set axon.port" if number == "EACCES" else "why"):
        bind("127.0.0.1", 80)


def test_without_ipv6_the_wire_listens_on_ipv4(monkeypatch):
    whole = socket.socket

    def only_ipv4(family=-1, *more):
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "no IPv6")
        return whole(family, *more)

    monkeypatch.setattr(socket, "socket", only_ipv4)
    with bind("[::]", 0) as bound:
        assert bound.getsockname()[0] == "0.0.0.0"


@pytest.mark.parametrize(
    ("ip", "hosts"),
    [("[::]", ["127.0.0.1", "::1"]), ("0.0.0.0", ["127.0.0.1"]), ("[::1]", ["::1"]), ("::1", ["::1"])],
)
async def test_both_families_on_one_socket(ip, hosts):
    async with house(ip=ip) as home:
        for host in hosts:
            client = await home.client(host)
            client.send(request())
            assert (await client.reply())[0] == 200
        assert [e.address for e in home.exchanges] == hosts


def test_no_more_connections_than_files(monkeypatch):
    limits = {"soft": 300, "hard": 600}
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (limits["soft"], limits["hard"]))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, pair: limits.update(soft=pair[0]))
    assert _affordable(100) == 100
    assert limits["soft"] == 300
    assert _affordable(400) == 400
    assert limits["soft"] == 528
    assert _affordable(5000) == 472
    assert limits["soft"] == 600


def resident() -> int:
    """Bytes of memory this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def test_ten_thousand_stranger_keys_leave_memory_flat():
    async with house() as home:

        async def flood(start: int, count: int) -> None:
            client = await home.client()
            for i in range(start, start + count):
                named = {"bt_header_dendrite_hotkey": f"5Stranger{i:039}"}
                client.send(
                    request(b"{}", signed=False, bt_header_dendrite_signature="0x" + "00" * 64, **named)
                )
                assert (await client.reply())[0] == 403
            client.writer.close()

        await flood(0, 1000)
        before = resident()
        await asyncio.gather(*(flood(1000 * i, 1000) for i in range(1, 11)))
        assert len(home.refusals) == 11_000
        await until(lambda: len(home.server.crowd) == 0)
        assert resident() - before < 8_000_000


async def test_an_application_that_fails_costs_one_connection():
    async def broken(asked):
        if asked.path == "/silent":
            return
        raise ValueError("ours")

    server = Server(broken, axon(), Wire())
    await server.start()
    for path in ("/", "/silent"):
        client = Client(*await asyncio.open_connection("127.0.0.1", server.port))
        client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert await client.closed()
    await server.stop(0)

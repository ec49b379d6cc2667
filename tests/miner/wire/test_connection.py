"""One connection, over a real socket: what stalls is dropped, what is refused can be read."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time

import pytest
from server_kit import house, request, until
from wire_kit import PNG, STRANGER, body, verdict

from miner.wire import connection as connections


async def test_challenges_on_one_kept_connection():
    async with house() as home:
        client = await home.client()
        for _ in range(3):
            client.send(request())
            status, named, content = await client.reply()
            assert (status, json.loads(content)["prediction"]) == (200, 0.75)
            assert "connection" not in named
            assert not {"date", "server", "transfer-encoding"} & named.keys()
        assert [e.outcome for e in home.exchanges] == ["answered"] * 3
        assert home.exchanges[0].address == "127.0.0.1"
        (peer,) = home.server.crowd.connections()
        assert peer.proven
        assert peer.deadline - time.monotonic() == pytest.approx(75, abs=5)


@pytest.mark.parametrize("size", [40_000, 300_000, 3_000_000])
async def test_native_size_images_arrive_whole_and_the_connection_lives(size):
    async with house() as home:
        image = PNG + bytes(size)
        client = await home.client()
        for _ in range(2):
            client.send(request(body(image=base64.b64encode(image).decode())))
            assert (await client.reply())[0] == 200
        assert [asked.views for asked in home.engine.requests] == [(image,)] * 2


async def test_a_client_that_asks_for_it_is_closed_after_the_reply():
    async with house() as home:
        client = await home.client()
        client.send(request(extra={"Connection": "close"}))
        assert (await client.reply())[1]["connection"] == "close"
        assert await client.closed()
        old = await home.client()
        old.send(request().replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert (await old.reply())[1]["connection"] == "close"
        assert await old.closed()


async def test_pipelined_challenges_are_answered_in_order():
    async with house() as home:
        client = await home.client()
        client.send(request(body(timeout=1.0)) + request(body(timeout=2.0)) + request(body(timeout=3.0)))
        assert [json.loads((await client.reply())[2])["timeout"] for _ in range(3)] == [1.0, 2.0, 3.0]


async def test_a_deep_pipeline_is_cut():
    async with house() as home:
        client = await home.client()
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
        assert await client.closed()
        assert (400, "http") in home.refusals
        await until(lambda: len(home.server.crowd) == 0)


async def test_half_open_headers_are_dropped_and_a_validator_is_served_meanwhile():
    async with house(header_timeout_s=0.3) as home:
        half = [await home.client() for _ in range(50)]
        for client in half:
            client.send(b"POST /ImageSynapse HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        validator = await home.client()
        validator.send(request())
        assert (await validator.reply())[0] == 200
        assert all([await client.closed() for client in half])
        assert len(home.server.crowd) == 1
        assert home.refusals == [(408, "head_time")] * 50
        validator.send(request())
        assert (await validator.reply())[0] == 200


async def test_the_header_timer_also_runs_for_the_second_request_of_a_connection():
    async with house(header_timeout_s=0.3) as home:
        client = await home.client()
        client.send(request())
        assert (await client.reply())[0] == 200
        client.send(b"POST /Image")
        assert await client.closed()
        assert home.refusals == [(408, "head_time")]


async def test_a_connection_that_says_nothing_is_dropped():
    async with house(header_timeout_s=0.3) as home:
        assert await (await home.client()).closed()
        assert home.refusals == []


async def test_an_idle_kept_connection_ends_after_keep_alive():
    async with house(keep_alive_s=0.3) as home:
        client = await home.client()
        client.send(request())
        assert (await client.reply())[0] == 200
        assert await client.closed()


async def test_a_slow_body_is_408():
    async with house(body_timeout_s=0.3) as home:
        client = await home.client()
        client.send(request()[:-10])
        assert (await client.reply())[0] == 408
        assert home.exchanges[0].notes == ("reason:body_time",)
        assert await client.closed()  # the rest never comes: nothing else can follow on this connection


async def test_a_huge_declared_body_is_refused_without_reading_it():
    async with house() as home:
        client = await home.client()
        client.send(request(b"x" * 1000, extra={"Content-Length": "300000000"}))
        status, named, _ = await client.reply()
        assert (status, named["connection"]) == (413, "close")
        assert home.exchanges[0].size == 0
        assert await client.closed()


@pytest.mark.parametrize("size", [100, 700_000])
async def test_a_stranger_can_read_its_refusal_while_it_is_still_sending(size):
    async with house() as home:
        client = await home.client()
        whole = request(b"x" * size, keypair=STRANGER)
        client.send(whole[:-50])
        assert (await client.reply())[0] == 403
        client.send(whole[-50:])
        client.send(request())
        assert (await client.reply())[0] == 200  # small bodies are drained and the connection lives


async def test_a_refused_body_that_is_not_finished_in_time_ends_the_connection():
    async with house(body_timeout_s=0.3) as home:
        client = await home.client()
        client.send(request(b"x" * 100, keypair=STRANGER)[:-50])
        assert (await client.reply())[0] == 403
        assert await client.closed()


async def test_a_chunked_body_is_accepted_and_capped():
    async with house(body_bytes=50_000) as home:
        content = body()
        chunked = b"%x\r\n%s\r\n0\r\nTrailer: x\r\n\r\n" % (len(content), content)
        head = request(b"", drop_length=True, extra={"Transfer-Encoding": "chunked"})
        client = await home.client()
        client.send(head + chunked)
        assert (await client.reply())[0] == 200
        client.send(request(b"", drop_length=True, extra={"Transfer-Encoding": "chunked"}))
        client.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        status, named, _ = await client.reply()
        assert (status, named["connection"]) == (413, "close")
        assert await client.closed()


async def test_lingering_after_a_refusal_is_bounded(monkeypatch):
    monkeypatch.setattr(connections, "LINGER_BYTES", 10_000)
    async with house() as home:
        client = await home.client()
        client.send(request(b"", extra={"Content-Length": "300000000"}))
        assert (await client.reply())[0] == 413
        client.send(b"x" * 400_000)
        await until(lambda: len(home.server.crowd) == 0)
    monkeypatch.setattr(connections, "LINGER_S", 0.1)
    async with house() as home:
        client = await home.client()
        client.send(request(b"", extra={"Content-Length": "300000000"}))
        assert (await client.reply())[0] == 413
        await until(lambda: len(home.server.crowd) == 0)


async def test_framing_cannot_outgrow_the_body_it_frames(monkeypatch):
    monkeypatch.setattr(connections, "LINGER_BYTES", 1000)
    async with house(body_bytes=1000) as home:
        client = await home.client()
        client.send(request(b"", drop_length=True, extra={"Transfer-Encoding": "chunked"}))
        client.send(b"1;" + b"x" * 300_000)
        await until(lambda: len(home.server.crowd) == 0)


async def test_expected_continue_is_granted_or_refused_for_good():
    async with house() as home:
        expect = {"Expect": "100-continue"}
        whole = request(extra=expect)
        head, content = whole.split(b"\r\n\r\n", 1)
        client = await home.client()
        client.send(head + b"\r\n\r\n")
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(content)
        assert (await client.reply())[0] == 200
        client.send(request(keypair=STRANGER, extra=expect).split(b"\r\n\r\n", 1)[0] + b"\r\n\r\n")
        status, named, _ = await client.reply()
        assert (status, named["connection"]) == (403, "close")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello", 400),
        (b"NONSENSE\r\n\r\n", 400),
        (b"SSH-2.0-OpenSSH_9.6\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 400_000, 431),
        (b"GET /" + b"a" * 400_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % i for i in range(101)) + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % i for i in range(40_000)) + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /%49mageSynapse HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET http://miner/ImageSynapse?x HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    ],
)
async def test_port_scans_and_nonsense_get_a_clear_refusal(sent, status):
    async with house() as home:
        client = await home.client()
        client.send(sent)
        assert (await client.reply())[0] == status
        assert not home.exchanges


@pytest.mark.parametrize("split", [1, 2, 3])
async def test_lines_of_a_body_are_no_headers_wherever_the_end_of_the_head_is_split(split):
    body = b"\n" * 200
    head = b"POST /elsewhere HTTP/1.1\r\nContent-Length: 200\r\n\r\n"
    async with house() as home:
        client = await home.client()
        client.send(head[:-split])
        await asyncio.sleep(0.05)
        client.send(head[-split:] + body)
        assert (await client.reply())[0] == 404


async def test_headers_that_never_end_are_counted_in_pieces():
    async with house() as home:
        client = await home.client()
        client.send(b"POST / HTTP/1.1\r\n" + b"a:b\r\n" * 50)
        await asyncio.sleep(0.05)
        client.send(b"a:b\r\n" * 101)
        assert (await client.reply())[0] == 431


async def test_a_header_said_twice_counts_once_whatever_its_case():
    async with house() as home:
        client = await home.client()
        client.send(request(extra={"BT_Header_Dendrite_Signature": "0x" + "00" * 64}))
        assert (await client.reply())[0] == 401
        client.send(request(extra={"TIMEOUT": "5"}))
        assert (await client.reply())[0] == 200
        assert home.engine.requests[0].deadline - time.monotonic() < 4


async def test_a_head_behind_a_large_body_has_all_of_its_room(monkeypatch):
    monkeypatch.setattr(connections, "HEAD_BYTES", 3000)
    large = body(zzz="x" * 20_000)
    async with house() as home:
        client = await home.client()
        second = request(extra={"X-Long": "a" * 1000})
        client.send(request(large) + second[:500])
        assert (await client.reply())[0] == 200
        client.send(second[500:])
        assert (await client.reply())[0] == 200


async def test_a_trailer_is_no_header_of_what_follows():
    async with house() as home:
        client = await home.client()
        content = body()
        head = request(b"", drop_length=True, extra={"Transfer-Encoding": "chunked"})
        client.send(head + b"%x\r\n%b\r\n0\r\nTimeout: 3\r\n" % (len(content), content))
        await asyncio.sleep(0.05)
        client.send(b"X-Bittensor-Hotkey: nobody\r\n\r\n" + request())
        assert [(await client.reply())[0] for _ in range(2)] == [200, 200]
        assert home.engine.requests[1].deadline - time.monotonic() > 6


async def test_a_head_request_gets_no_body():
    async with house() as home:
        client = await home.client()
        client.send(b"HEAD /ImageSynapse HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
        first = await client.reader.readuntil(b"\r\n\r\n")
        second = await client.reader.readuntil(b"\r\n\r\n")
        assert (first.split()[1], second.split()[1]) == (b"405", b"404")


async def test_headers_that_dribble_past_the_cap_are_cut():
    async with house() as home:
        client = await home.client()
        client.send(b"GET / HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            for i in range(200):
                client.send(b"X-%d: " % i + b"a" * 500 + b"\r\n")
                await client.writer.drain()
                await asyncio.sleep(0)
        await until(lambda: home.refusals and home.refusals[0][0] in (400, 431))


class DeafTransport(asyncio.Transport):
    """The server's end of a connection whose client reads nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.aborted = False

    def get_extra_info(self, name, default=None):
        return ("192.0.2.7", 40000) if name == "peername" else default

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    close = abort

    def get_write_buffer_size(self) -> int:
        return 0


async def test_a_client_that_reads_no_replies_is_dropped():
    async with house(header_timeout_s=8) as home:
        peer, transport = home.server._connection(), DeafTransport()
        peer.connection_made(transport)
        peer.data_received(request())
        await until(lambda: transport.written)
        peer.pause_writing()
        peer.data_received(request())
        await until(lambda: len(home.engine.requests) == 2)
        home.server.crowd.sweep(time.monotonic() + 7)
        assert not transport.aborted
        home.server.crowd.sweep(time.monotonic() + 9)
        assert transport.aborted
        peer.connection_lost(None)
        await until(lambda: not home.server._tasks)
        assert len(transport.written) == 1
        assert len(home.server.crowd) == 0


async def test_a_client_that_reads_again_keeps_its_connection():
    async with house(header_timeout_s=8) as home:
        peer, transport = home.server._connection(), DeafTransport()
        peer.connection_made(transport)
        peer.pause_writing()
        peer.data_received(request())
        await until(lambda: home.engine.requests)
        peer.resume_writing()
        await until(lambda: len(transport.written) == 1)
        home.server.crowd.sweep(time.monotonic() + 9)
        assert not transport.aborted


async def test_a_client_that_leaves_while_it_is_judged_is_gone():
    async with house() as home:
        leave = asyncio.Event()

        async def judge(asked):
            leave.set()
            await until(lambda: len(home.server.crowd) == 0)
            return verdict(asked, 0.5)

        home.engine.act = judge
        client = await home.client()
        client.send(request())
        await leave.wait()
        client.writer.transport.abort()
        await until(lambda: home.exchanges)
        assert home.exchanges[0].outcome == "gone"


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_gone():
    async with house() as home:
        client = await home.client()
        client.send(request()[:-10])
        await until(lambda: any(c.proven for c in home.server.crowd.connections()))
        client.writer.transport.abort()
        await until(lambda: home.exchanges)
        assert (home.exchanges[0].status, home.exchanges[0].outcome) == (499, "gone")

"""The client side of the validators' wire."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from PIL import Image
from rehearsal_kit import MINER, STRANGER, VALIDATOR, jpeg, running_miner

from miner.rehearsal.dendrite import BODY_HASH, Dendrite, Reply, prebuild
from miner.wire.auth import Incoming, LegacyAuthenticator
from miner.wire.synapse import EMPTY_HASH, Rejected

HEADERS = [
    "Host",
    "name",
    "timeout",
    "bt_header_axon_ip",
    "bt_header_axon_port",
    "bt_header_axon_hotkey",
    "bt_header_dendrite_ip",
    "bt_header_dendrite_version",
    "bt_header_dendrite_nonce",
    "bt_header_dendrite_uuid",
    "bt_header_dendrite_hotkey",
    "bt_header_dendrite_signature",
    "header_size",
    "total_size",
    "computed_body_hash",
    "Accept",
    "Content-Length",
    "Content-Type",
]
"""As captured from SDK 10.5.0, but for aiohttp's own Accept-Encoding and User-Agent."""
BODY = [
    "name",
    "timeout",
    "total_size",
    "header_size",
    "dendrite",
    "axon",
    "computed_body_hash",
    "testnet_label",
    "image",
    "prediction",
]
TERMINAL = [
    "status_code",
    "status_message",
    "process_time",
    "ip",
    "port",
    "version",
    "nonce",
    "uuid",
    "hotkey",
    "signature",
]


def client(port: int = 8091, keypair=VALIDATOR, host: str = "127.0.0.1", **options) -> Dendrite:
    return Dendrite(keypair, host, port, MINER.ss58_address, **options)


def taken_apart(dendrite: Dendrite, image: bytes = b"picture", uuid: str = "u"):
    head, start, tail = dendrite.request(prebuild(image), uuid)
    first, *lines = head.decode().removesuffix("\r\n\r\n").split("\r\n")
    return first, [tuple(line.split(": ", 1)) for line in lines], start + tail


def incoming(headers) -> Incoming:
    lowered = {name.lower().encode(): value.encode() for name, value in headers}
    return Incoming("POST", "/ImageSynapse", lowered)


def test_headers_come_in_the_dendrites_order():
    first, headers, _ = taken_apart(client())
    assert first == "POST /ImageSynapse HTTP/1.1"
    assert [name for name, _ in headers] == HEADERS
    given = dict(headers)
    assert given["name"] == "ImageSynapse"
    assert given["timeout"] == "9.0"
    assert given["bt_header_dendrite_version"] == "10005000"
    assert given["header_size"] == "464"


def test_body_has_the_synapses_fields_in_order_and_its_length_is_declared():
    _, headers, body = taken_apart(client(), b"some picture")
    fields = json.loads(body)
    assert list(fields) == BODY
    assert list(fields["dendrite"]) == list(fields["axon"]) == TERMINAL
    assert base64.b64decode(fields["image"]) == b"some picture"
    assert (fields["prediction"], fields["testnet_label"]) == (-1.0, -1)
    assert fields["total_size"] == int(dict(headers)["total_size"])
    assert len(body) == int(dict(headers)["Content-Length"])


def test_total_size_is_the_sdks_own_figure():
    """3179 was captured from 10.5.0 for an image of four base64 characters."""
    _, headers, _ = taken_apart(client(), b"ABC")
    assert dict(headers)["total_size"] == "3179"


def test_body_repeats_what_the_headers_say():
    _, headers, body = taken_apart(client(7000), uuid="session")
    given, fields = dict(headers), json.loads(body)
    for terminal, prefix in ((fields["dendrite"], "dendrite"), (fields["axon"], "axon")):
        said = {k: str(v) for k, v in terminal.items() if v is not None}
        assert said == {k: given[f"bt_header_{prefix}_{k}"] for k in said}
    assert fields["dendrite"]["uuid"] == "session"


def test_signature_satisfies_the_miners_authenticator():
    _, headers, _ = taken_apart(client())
    authenticator = LegacyAuthenticator(MINER.ss58_address)
    request = incoming(headers)
    claim = authenticator.claim(request)
    authenticator.verify(claim, request)
    assert claim.hotkey == VALIDATOR.ss58_address
    assert claim.body_hash == BODY_HASH == EMPTY_HASH


def test_a_signature_for_another_miner_does_not():
    _, headers, _ = taken_apart(Dendrite(VALIDATOR, "127.0.0.1", 1, STRANGER.ss58_address))
    with pytest.raises(Rejected):
        LegacyAuthenticator(MINER.ss58_address).claim(incoming(headers))


def test_nonces_rise_even_when_the_clock_stands_still():
    dendrite = client(clock=lambda: 1_000)
    nonces = [json.loads(taken_apart(dendrite)[2])["dendrite"]["nonce"] for _ in range(3)]
    assert nonces == [1_000, 1_001, 1_002]


def test_an_ipv6_host_is_bracketed_and_its_scope_survives():
    first = dict(taken_apart(client(80, host="fe80::1%eth0"))[1])
    assert first["Host"] == "[fe80::1%eth0]:80"
    assert first["bt_header_axon_ip"] == "fe80::1%eth0"


async def test_our_miner_answers():
    async with running_miner() as miner, client(miner.port) as dendrite:
        grey, orange = await dendrite.challenge(jpeg()), await dendrite.challenge(jpeg((230, 120, 20)))
    assert (grey.prediction, orange.prediction) == (0.1, 0.9)
    assert {grey.outcome, orange.outcome} == {"answered"}
    assert [exchange.status for exchange in miner.exchanges] == [200, 200]


async def test_a_picture_of_native_size_is_answered():
    """Its body comes in many pieces, of which the last is large too."""
    picture = io.BytesIO()
    Image.effect_noise((800, 600), 90).convert("RGB").save(picture, format="JPEG", quality=95)
    async with running_miner() as miner, client(miner.port) as dendrite:
        replies = [await dendrite.challenge(picture.getvalue()) for _ in range(3)]
    assert [reply.status for reply in replies] == [200] * 3


async def test_one_connection_serves_challenge_after_challenge():
    async with raw_server(http(b'{"prediction": 0.25}')) as port, client(port) as dendrite:
        await dendrite.challenge(b"x")
        (first,) = dendrite._idle
        await dendrite.challenge(b"x")
        assert dendrite._idle == [first]


async def test_concurrent_challenges_are_all_taken():
    """Sessions of their own per connection keep the nonces in order, so none counts as a replay."""
    body = prebuild(jpeg())
    async with running_miner() as miner, client(miner.port) as dendrite:
        replies = await asyncio.gather(*(dendrite.challenge(body) for _ in range(40)))
    assert [reply.status for reply in replies] == [200] * 40
    assert not miner.refusals


async def test_a_refusal_comes_with_the_servers_words():
    async with running_miner() as miner, client(miner.port, STRANGER) as dendrite:
        reply = await dendrite.challenge(jpeg())
    assert (reply.status, reply.prediction, reply.outcome) == (403, -1.0, "refused")
    assert reply.reason


async def test_overload_counts_as_shed():
    async with running_miner() as miner, client(miner.port) as dendrite:
        miner.engine.shedding = True
        reply = await dendrite.challenge(jpeg())
    assert (reply.status, reply.outcome) == (503, "shed")


async def test_silence_ends_at_the_timeout():
    async with running_miner() as miner, client(miner.port, timeout=0.2) as dendrite:
        miner.engine.silent = True
        reply = await dendrite.challenge(jpeg())
        assert (reply.status, reply.reason, reply.outcome) == (0, "timeout", "lost")
        miner.engine.silent = False
        assert (await dendrite.challenge(jpeg())).status == 200


@asynccontextmanager
async def raw_server(answer: bytes, *, close: bool = False) -> AsyncIterator[int]:
    """Sends the same bytes for each request that arrives."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            writer.write(answer)
            if close:
                break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def http(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    ("body", "prediction", "outcome"),
    [
        (b'{"prediction": 0.25}', 0.25, "answered"),
        (b'{"prediction": "0.5"}', 0.5, "answered"),
        (b'{"prediction": true}', 1.0, "answered"),
        (b'{"prediction": -1}', -1.0, "lost"),
        (b'{"prediction": null}', -1.0, "lost"),
        (b'{"prediction": "high"}', -1.0, "lost"),
        (b'{"prediction": [0.5]}', -1.0, "lost"),
        (b"{}", -1.0, "lost"),
        (b"[]", -1.0, "lost"),
        (b"not json", -1.0, "lost"),
        (b"", -1.0, "lost"),
    ],
)
async def test_predictions_are_read_as_the_subnet_reads_them(body, prediction, outcome):
    async with raw_server(http(body)) as port, client(port) as dendrite:
        reply = await dendrite.challenge(b"x")
    assert (reply.prediction, reply.outcome) == (prediction, outcome)


async def test_chunked_replies_are_put_together():
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = head + b'8\r\n{"predic\r\nc\r\ntion": 0.75}\r\n0\r\n\r\n'
    async with raw_server(answer) as port, client(port) as dendrite:
        assert (await dendrite.challenge(b"x")).prediction == 0.75


async def test_a_connection_that_the_server_closes_is_replaced():
    answer = b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 19\r\n\r\n{"prediction":0.25}'
    async with raw_server(answer, close=True) as port, client(port) as dendrite:
        replies = [await dendrite.challenge(b"x") for _ in range(3)]
    assert [reply.prediction for reply in replies] == [0.25] * 3


async def test_what_is_no_answer_is_lost_with_its_reason():
    async with raw_server(b"SSH-2.0-nonsense\r\n") as port, client(port) as dendrite:
        assert (await dendrite.challenge(b"x")).reason == "bad reply"
    async with raw_server(b"HTTP/1.1 200 OK\r\nContent-Le", close=True) as port, client(port) as dendrite:
        assert (await dendrite.challenge(b"x")).reason == "disconnected"
    async with client(port) as dendrite:
        reply = await dendrite.challenge(b"x")
    assert (reply.reason, reply.outcome) == ("unreachable", "lost")


@pytest.mark.parametrize(
    ("status", "outcome"), [(401, "refused"), (429, "refused"), (500, "lost"), (503, "shed"), (0, "lost")]
)
def test_outcome_of_a_status(status, outcome):
    assert Reply(status, -1.0, 1.0).outcome == outcome

"""Requests as bytes on a connection: parser, door, body and reply of the validators' wire, without a socket.

A case is everything one client sends. Signed ones are signed before they are broken further, so that a share
of what is broken stands behind a good signature. The engine answers at once, with a probability or a refusal
that hangs on the picture.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import math
import re
import zlib
from functools import cache
from random import Random
from typing import Any

import httptools
from bittensor import http_auth

from harness.fuzz.images import made
from harness.fuzz.mutate import mutate
from harness.fuzz.target import Finding
from harness.stage import MINER, SECOND_VALIDATOR, VALIDATOR, subnet
from harness.stage import keypair as made_of
from miner.engine.interface import BadImage, EngineHealth, Shed, Unavailable
from miner.settings import Blacklist, Wire
from miner.wire.admission import Admission
from miner.wire.auth import authenticators
from miner.wire.connection import Connection
from miner.wire.endpoint import Endpoint
from miner.wire.reply import Tasks
from miner.wire.synapse import EMPTY_HASH, REASONS, body_hash
from models.calibration import clamp, probability
from models.core import NO_PREDICTION, Request, Verdict

START_NS = 1_800_000_000 * 10**9
STEP_NS = 10**6
WIRE = Wire(
    caller_rate=1e6,
    caller_burst=10**6,
    address_rate=1e6,
    address_burst=10**6,
    body_bytes=2**20,
    image_bytes=2**19,
)
PATIENCE_S = 120.0
PICTURE_BYTES = 4_000
"""Larger pictures are the other target's: here they cost time."""
NONCE = re.compile(rb"nonce: (\d{19})\r")
LOG_ODDS = (0.0, -0.0, 1e-12, -1e-12, 3.0, -3.0, 700.0, -700.0, 1e308, -1e308, math.inf, -math.inf)
REFUSED = (Shed("queue"), BadImage("corrupt"), Unavailable("none"))
STATUSES = {status for status, _ in REASONS.values()} - {500} | {200}
ODD_VALUES = (
    b"",
    b" ",
    b"0",
    b"-1",
    b"1e999",
    b"nan",
    b"inf",
    b"0x10",
    b"9" * 30,
    b"\xff\xfe",
    "ü".encode(),
    b"\0",
    b"a" * 5000,
    b"1" * 20,
    b"00000000000000000001",
    b"%00",
    b"../../etc/passwd",
    b"{}",
    b"chunked",
    b"100-continue",
    b"gzip",
)
ODD_FIELDS: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    1e308,
    -0.0,
    2**63,
    2**70,
    "",
    "x",
    "\ud800",
    "\0",
    [],
    {},
    [[]],
    [None],
    {"a": []},
    float("nan"),
    float("inf"),
    "=" * 50,
    " " * 50,
    "AAAA",
    "A",
    "====",
    "ÿ",
    ["AAAA"] * 7,
    [""] * 6,
)
NAMES = (
    "image",
    "images",
    "timeout",
    "testnet_label",
    "name",
    "prediction",
    "computed_body_hash",
    "dendrite",
    "axon",
)
LINES = (
    b"POST /ImageSynapse HTTP/1.1",
    b"GET /ImageSynapse HTTP/1.1",
    b"POST / HTTP/1.1",
    b"POST /ImageSynapse HTTP/1.0",
    b"POST /%49mageSynapse?x=%ff HTTP/1.1",
    b"POST * HTTP/1.1",
    b"HEAD /ImageSynapse HTTP/1.1",
    b"\x16\x03\x01",
)

DEEP_MARK = "nested lists stand here"
DEEPEST = 100_000
DEEP = tuple(f"{DEEP_MARK} {depth}" for depth in (10, 200, 500, DEEPEST))

Head = list[tuple[bytes, bytes]]

keypair = cache(made_of)


@cache
def ss58(uri: str) -> str:
    return str(keypair(uri).ss58_address)


class Requests:
    """Outcomes: the statuses of the replies, "none" where there was nothing to reply to."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._wall = START_NS
        self._errors: list[str] = []
        self._loop.set_exception_handler(lambda _, context: self._errors.append(str(context)))
        admission = Admission(Blacklist(min_stake=0.0), own_hotkey=ss58(MINER))
        admission.update(subnet())
        self._exchanges: list[Any] = []
        self._endpoint = Endpoint(
            hotkey=ss58(MINER),
            admission=admission,
            authenticators=authenticators(ss58(MINER)),
            engine=Oracle(),
            record=self._exchanges.append,
            refused=self._counted,
            wire=WIRE,
            wall_ns=lambda: self._wall,
        )
        self._wall += int((WIRE.max_ahead_s + 1) * 1e9)
        self._images = [each for each in made() if len(each) < PICTURE_BYTES]

    # making

    def case(self, rng: Random, number: int) -> bytes:
        nonce = START_NS + (10_000 + number) * STEP_NS
        body = self._body(rng)
        raw = _raw(*self._head(rng, body, nonce), body, rng)
        way = rng.random()
        if way < 0.25:
            return mutate(raw, rng)
        if way < 0.30:
            return raw + (raw if rng.random() < 0.5 else mutate(raw, rng))
        return raw

    def _body(self, rng: Random) -> bytes:
        image = rng.choice(self._images)
        if rng.random() < 0.5:
            image = mutate(image, rng)
        text = base64.b64encode(image).decode()
        fields: dict[str, Any] = {
            "name": "ImageSynapse",
            "timeout": 9.0,
            "testnet_label": -1,
            "image": text,
            "prediction": -1.0,
        }
        for _ in range(rng.choice((0, 0, 1, 1, 2, 4))):
            _odd_field(fields, text, rng)
        body = _deepened(json.dumps(fields)).encode(rng.choice(("utf-8",) * 9 + ("utf-16",)), "surrogatepass")
        return mutate(body, rng) if rng.random() < 0.3 else body

    def _head(self, rng: Random, body: bytes, nonce: int) -> tuple[bytes, Head]:
        line = LINES[0] if rng.random() < 0.85 else rng.choice(LINES)
        head = _btauth(line, body, nonce, rng) if rng.random() < 0.15 else _legacy(body, nonce, rng)
        for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 5))):
            _odd_header(head, rng)
        return line, head

    # judging

    def judge(self, case: bytes) -> str:
        found = NONCE.search(case)
        given = int(found[1]) if found else 0
        if START_NS < given < START_NS + 10**18:
            self._wall = max(given, START_NS + int((WIRE.max_ahead_s + 2) * 1e9))
        self._errors.clear()
        self._exchanges.clear()
        wire = Wiretap()
        self._loop.run_until_complete(self._served(case, wire))
        if self._errors:
            raise Finding(self._errors[0])
        for exchange in self._exchanges:
            _hold(exchange.prediction)
        return _replies(bytes(wire.sent))

    async def _served(self, case: bytes, wire: Wiretap) -> None:
        tasks: Tasks = {}
        connection = Connection(self._endpoint, tasks, WIRE, Nobody(), self._counted)
        connection.connection_made(wire)
        cut = zlib.crc32(case) % (len(case) + 1)
        for part in (case[:cut], case[cut:]):
            if part and not wire.closed:
                connection.data_received(part)
            await asyncio.sleep(0)
        for _ in range(8):
            if not tasks:
                break
            await asyncio.sleep(0)
        connection.connection_lost(None)
        wire.closed = True
        while tasks:
            _, late = await asyncio.wait(set(tasks.values()), timeout=PATIENCE_S)
            if late:
                raise Finding("a request hangs although its client has left")

    def _counted(self, status: int, reason: str) -> None:
        if status >= 500 and reason == "bug":
            self._errors.append("a request gave a 500")


class Oracle:
    """Answers or refuses at once, as the picture's bytes have it."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def health(self) -> EngineHealth:
        return EngineHealth(ready=True, state="ready")

    async def submit(self, request: Request) -> Verdict:
        chosen = hashlib.sha256(request.views[0]).digest()[0]
        if chosen < 12:
            raise REFUSED[chosen % len(REFUSED)].with_traceback(None)  # it would keep every request's frames
        if chosen < 16:
            return Verdict(request.id, NO_PREDICTION)
        log_odds = clamp(LOG_ODDS[chosen % len(LOG_ODDS)])
        return Verdict(request.id, probability(log_odds), log_odds=log_odds, path=("oracle",))


class Wiretap(asyncio.Transport):
    """A transport that only remembers."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.7", 4000), "sockname": ("192.0.2.1", 8091)})
        self.sent = bytearray()
        self.closed = False

    def write(self, data: Any) -> None:
        if not self.closed:
            self.sent += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def write_eof(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Nobody:
    """Keeps no list of connections."""

    def add(self, connection: Connection) -> None: ...

    def proven(self, connection: Connection) -> None: ...

    def remove(self, connection: Connection) -> None: ...


class _Replies:
    """What a client's parser makes of what was sent."""

    def __init__(self) -> None:
        self.found: list[tuple[int, bytes]] = []
        self._body = b""
        self.parser = httptools.HttpResponseParser(self)

    def on_message_begin(self) -> None:
        self._body = b""

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self.found.append((self.parser.get_status_code(), self._body))


def _replies(sent: bytes) -> str:
    sent = sent.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    if not sent:
        return "none"
    statuses = [int(line[9:12]) for line in re.findall(rb"HTTP/1\.1 \d{3}", sent)]
    for status in statuses:
        if status not in STATUSES:
            raise Finding(f"a reply with status {status}")
    if b'"prediction":' in sent:
        _read(sent)
    return " ".join(map(str, statuses[:2]))


def _read(sent: bytes) -> None:
    """Hold every answer among the replies against what an answer may be."""
    for text in re.findall(rb'\{"name":"ImageSynapse"[^}]*\}', sent):
        fields = json.loads(text, parse_constant=_no_constant)
        if not {"name", "timeout", "testnet_label", "prediction"} == set(fields):
            raise Finding(f"an answer of {sorted(fields)}")
        _hold(fields["prediction"])


def _no_constant(name: str) -> float:
    raise Finding(f"{name} in an answer")


def _hold(prediction: float | None) -> None:
    if prediction is None:
        return
    if not (math.isfinite(prediction) and (0.0 <= prediction <= 1.0 or prediction == NO_PREDICTION)):
        raise Finding(f"an answer of {prediction}")


def _legacy(body: bytes, nonce: int, rng: Random) -> Head:
    who = rng.choice((VALIDATOR, VALIDATOR, SECOND_VALIDATOR, "//stranger"))
    covered = _covered(body) if rng.random() < 0.1 else EMPTY_HASH
    key, session = keypair(who), str(rng.getrandbits(64))
    text = f"{nonce}.{ss58(who)}.{ss58(MINER)}.{session}.{covered}"
    signature = key.sign(text.encode()) if rng.random() < 0.8 else rng.randbytes(64)
    return [
        (b"name", b"ImageSynapse"),
        (b"timeout", b"9.0"),
        (b"bt_header_axon_hotkey", ss58(MINER).encode()),
        (b"bt_header_dendrite_version", b"10005000"),
        (b"bt_header_dendrite_nonce", str(nonce).encode()),
        (b"bt_header_dendrite_uuid", session.encode()),
        (b"bt_header_dendrite_hotkey", ss58(who).encode()),
        (b"bt_header_dendrite_signature", b"0x" + signature.hex().encode()),
        (b"computed_body_hash", covered.encode()),
    ]


def _btauth(line: bytes, body: bytes, nonce: int, rng: Random) -> Head:
    parts = line.split(b" ")
    target = parts[1].decode("latin-1") if len(parts) > 1 else "/"
    signed = http_auth.sign(
        keypair(VALIDATOR),
        method=parts[0].decode("latin-1"),
        path=target,
        body=body,
        receiver_ss58=ss58(MINER),
        nonce_ns=nonce,
    )
    return [(name.encode(), value.encode()) for name, value in signed.items()]


def _covered(body: bytes) -> str:
    try:
        return body_hash(json.loads(body), WIRE.hash_fields)
    except Exception:  # noqa: BLE001 - a broken body has no hash: any will do
        return "0" * 64


def _odd_field(fields: dict[str, Any], image: str, rng: Random) -> None:
    name = rng.choice(NAMES)
    way = rng.random()
    if way < 0.15:
        fields.pop(name, None)
    elif way < 0.35:
        fields["images"] = [image] * rng.randrange(8) + rng.sample(ODD_FIELDS, rng.randrange(2))
    elif way < 0.40:
        fields[name] = rng.choice(DEEP)
    elif way < 0.5 and isinstance(fields.get("image"), str):
        fields["image"] = mutate(fields["image"].encode("utf-8", "surrogatepass"), rng).decode("latin-1")
    else:
        fields[name] = rng.choice(ODD_FIELDS)


def _deepened(text: str) -> str:
    """With the lists that no encoder here would nest so deeply."""
    if DEEP_MARK not in text:
        return text

    def nested(mark: re.Match[str]) -> str:
        depth = min(int(mark[1]), DEEPEST)  # the number may have been changed on the way
        return "[" * depth + "]" * depth

    return re.sub(f'"{DEEP_MARK} (\\d+)"', nested, text)


def _odd_header(head: Head, rng: Random) -> None:
    at = rng.randrange(len(head)) if head else 0
    way = rng.random()
    if way < 0.2 and head:
        del head[at]
    elif way < 0.3 and head:
        head.insert(rng.randrange(len(head)), head[at])
    elif way < 0.55 and head:
        head[at] = (head[at][0], rng.choice(ODD_VALUES))
    elif way < 0.75 and head:
        head[at] = (head[at][0], mutate(head[at][1], rng))
    elif way < 0.8 and head:
        head[at] = (mutate(head[at][0], rng), head[at][1])
    else:
        name = rng.choice(
            (b"transfer-encoding", b"content-length", b"expect", b"connection", b"upgrade", b"host", b"x")
        )
        head.append((name, rng.choice(ODD_VALUES)))


def _raw(line: bytes, head: Head, body: bytes, rng: Random) -> bytes:
    """Mostly with the body's length; now and then in chunks, with a wrong length or none."""
    way = rng.random()
    if way < 0.08:
        half = len(body) // 2
        head.append((b"transfer-encoding", b"chunked"))
        parts = [part for part in (body[:half], body[half:]) if part]
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    elif way < 0.12:
        head.append(
            (b"content-length", b"%d" % rng.choice((0, len(body) + 9, max(0, len(body) - 9), 10**12)))
        )
    elif way < 0.97:
        head.append((b"content-length", b"%d" % len(body)))
    lines = [line, *(name + b": " + value for name, value in head)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body

"""What the wire's tests share: keys, a clock that stands still, signed requests, a tiny engine."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import struct
import time
import zlib
from dataclasses import dataclass, field

from bittensor import http_auth
from bittensor.keyfiles import Keypair

from miner.engine.interface import EngineHealth
from miner.records import Exchange
from miner.settings import Blacklist, Wire
from miner.wire.admission import Admission
from miner.wire.auth import Incoming, authenticators
from miner.wire.endpoint import Endpoint
from models.core import Request, Verdict

MINER, VALI, VALI2, POOR, NO_PERMIT, STRANGER = (
    Keypair.create_from_uri(f"//{name}")
    for name in ("miner", "vali", "vali2", "poor", "nopermit", "stranger")
)
EMPTY = hashlib.sha3_256(b"").hexdigest()
STAKE = 5000.0


def png(width: int = 2, height: int = 2) -> bytes:
    """A small, valid PNG of any declared size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress((b"\x00" + b"\x80" * 3 * 2) * 2)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


PNG = png()
IMAGE = base64.b64encode(PNG).decode()


@dataclass
class Clock:
    """Wall and monotonic time that move only when told to."""

    wall: int = 1_800_000_000_000_000_000
    monotonic: float = 1000.0

    def now(self) -> float:
        return self.monotonic

    def wall_ns(self) -> int:
        return self.wall

    def advance(self, seconds: float) -> None:
        self.wall += int(seconds * 1e9)
        self.monotonic += seconds


@dataclass
class Neuron:
    hotkey: str
    stake: float
    validator_permit: bool


@dataclass
class Snapshot:
    neurons: list[Neuron]


SNAPSHOT = Snapshot(
    [
        Neuron(MINER.ss58_address, 10.0, False),
        Neuron(VALI.ss58_address, STAKE, True),
        Neuron(VALI2.ss58_address, 2 * STAKE, True),
        Neuron(POOR.ss58_address, 999.0, True),
        Neuron(NO_PERMIT.ss58_address, STAKE, False),
    ]
)


class TinyEngine:
    """Answers 0.75, or does what `act` says: an exception to raise, or a coroutine function to ask."""

    def __init__(self, act=None) -> None:
        self.act = act
        self.requests: list[Request] = []

    async def start(self) -> None: ...

    async def submit(self, request: Request) -> Verdict:
        self.requests.append(request)
        if isinstance(self.act, BaseException):
            raise self.act
        if self.act is not None:
            return await self.act(request)
        return verdict(request, 0.75)

    def health(self) -> EngineHealth:
        return EngineHealth(ready=True, state="ready")

    async def stop(self) -> None: ...


def verdict(request: Request, prediction: float, **more) -> Verdict:
    return Verdict(
        request.id,
        prediction,
        log_odds=1.1,
        path=("tiny",),
        versions={"tiny": "1"},
        ms={"tiny": 0.5},
        **more,
    )


def headers(
    keypair=VALI, miner=MINER, nonce=None, drop=(), body_hash=EMPTY, signed=True, **more
) -> dict[str, str]:
    """The headers of a Dendrite. `more` overrides by name."""
    nonce = time.time_ns() if nonce is None else nonce
    session = more.pop("session", "5b4f2d5e-c8a1-11f0-8de9-0242ac120002")
    result = {
        "name": "ImageSynapse",
        "timeout": "9.0",
        "bt_header_axon_ip": "127.0.0.1",
        "bt_header_axon_port": "8091",
        "bt_header_axon_hotkey": miner.ss58_address,
        "bt_header_dendrite_ip": "1.2.3.4",
        "bt_header_dendrite_version": "10005000",
        "bt_header_dendrite_nonce": str(nonce),
        "bt_header_dendrite_uuid": session,
        "bt_header_dendrite_hotkey": keypair.ss58_address,
        "header_size": "464",
        "total_size": "3191",
        "computed_body_hash": body_hash,
    }
    if signed:
        text = f"{nonce}.{keypair.ss58_address}.{miner.ss58_address}.{session}.{body_hash}"
        result["bt_header_dendrite_signature"] = "0x" + keypair.sign(text.encode()).hex()
    result.update(more)
    return {name: value for name, value in result.items() if name not in drop}


def body(image=IMAGE, **more) -> bytes:
    """The body of a Dendrite."""
    fields = {"name": "ImageSynapse", "timeout": 9.0, "testnet_label": -1, "image": image, "prediction": -1.0}
    return json.dumps({**fields, "dendrite": {"hotkey": "whatever it says"}, **more}).encode()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class Asking:
    """A request as a connection hands it over, its body in `parts`; `None` among them is the client's end."""

    incoming: Incoming
    path: str = "/ImageSynapse"
    address: str = "192.0.2.7"
    parts: list[bytes | None] = field(default_factory=list)
    whole: bool = False
    gone: bool = False
    proven: int = 0
    sent: list = field(default_factory=list)
    before_send: object = lambda: None

    @property
    def more_body(self) -> bool:
        return bool(self.parts)

    def prove(self) -> None:
        self.proven += 1

    def take(self) -> bytes:
        return self.parts.pop(0)

    async def receive(self) -> bytes | None:
        return self.parts.pop(0) if self.parts else await asyncio.Event().wait()

    async def send(self, reply) -> None:
        self.before_send()
        self.sent.append(reply)


def read(reply) -> Answer:
    """What a client makes of a reply."""
    status, head, content = reply
    first, *lines = head.decode().split("\r\n")
    named = dict(line.split(": ", 1) for line in lines if line)
    assert int(first.split()[1]) == status
    assert named["content-length"] == str(len(content))
    return Answer(status, named, content)


@dataclass
class Door:
    """An endpoint with everything around it in reach."""

    wire: Wire = field(default_factory=Wire)
    blacklist: Blacklist = field(default_factory=Blacklist)
    act: object = None
    clock: Clock = field(default_factory=Clock)
    snapshot: Snapshot | None = field(default_factory=lambda: SNAPSHOT)
    exchanges: list[Exchange] = field(default_factory=list)
    refusals: list[tuple[int, str]] = field(default_factory=list)
    sent: int = 0

    def __post_init__(self) -> None:
        self.engine = TinyEngine(self.act)
        self.admission = Admission(self.blacklist)
        self.admission.update(self.snapshot)
        self.endpoint = Endpoint(
            hotkey=MINER.ss58_address,
            admission=self.admission,
            authenticators=authenticators(MINER.ss58_address),
            engine=self.engine,
            record=self.exchanges.append,
            refused=lambda status, reason: self.refusals.append((status, reason)),
            wire=self.wire,
            now=self.clock.now,
            wall_ns=self.clock.wall_ns,
        )
        self.clock.advance(
            self.wire.max_ahead_s + 1
        )  # past the time in which a predecessor's nonces could come

    def headers(self, **more) -> dict[str, str]:
        """Headers signed now, by the clock of this door; each call a nonce later."""
        self.sent += 1
        more.setdefault("nonce", self.clock.wall + self.sent)
        return headers(**more)

    async def ask(
        self,
        given=None,
        content: bytes | list[bytes] | None = None,
        *,
        method: str = "POST",
        path: str = "/ImageSynapse",
        query: bytes = b"",
        address: str = "192.0.2.7",
        asked: Asking | None = None,
    ) -> Answer:
        """One request through the endpoint. `given`: headers by name, or the raw list of pairs; `asked`: who
        hands it over, if that matters."""
        given = self.headers() if given is None else given
        parts = [body()] if content is None else content if isinstance(content, list) else [content]
        pairs = [(n.encode(), v.encode()) for n, v in given.items()] if isinstance(given, dict) else given
        target = path + (f"?{query.decode()}" if query else "")
        asked = asked or Asking(None)
        asked.incoming = Incoming(method, target, dict(pairs))
        asked.path, asked.address, asked.parts = path, address, list(parts)
        recorded = len(self.exchanges)

        def not_yet_recorded() -> None:
            assert len(self.exchanges) == recorded, "recorded before the reply was out"

        asked.before_send = not_yet_recorded
        await self.endpoint(asked)
        (reply,) = asked.sent
        asked.sent = []
        return read(reply)


def modern(door: Door, content: bytes, keypair=VALI, target="/ImageSynapse", **more) -> dict[str, str]:
    """The headers of a request that SDK 11 has signed."""
    door.sent += 1
    signed = http_auth.sign(
        keypair,
        method="POST",
        path=target,
        body=content,
        receiver_ss58=MINER.ss58_address,
        nonce_ns=door.clock.wall + door.sent,
    )
    return {name.lower(): value for name, value in {**signed, **more}.items()}

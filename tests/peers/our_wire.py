"""Our wire in this process, with a trivial model behind it and a clock that tests may move."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO

from bittensor.keyfiles import Keypair
from PIL import Image

from miner.chain.snapshot import Neuron, Snapshot
from miner.engine.interface import EngineHealth
from miner.records import Exchange
from miner.settings import Axon, Blacklist, Wire
from miner.wire.admission import Admission
from miner.wire.auth import authenticators
from miner.wire.endpoint import Endpoint
from miner.wire.server import Server
from models.core import Request, Verdict

MINER, OTHER_MINER = "//miner", "//other-miner"
VALIDATOR, SECOND_VALIDATOR, NO_PERMIT, POOR, STRANGER = (
    "//vali",
    "//vali2",
    "//registered",
    "//poor",
    "//stranger",
)
PREDICTION = 0.8125
STARTED_AGO_S = 60.0


def keypair(uri: str) -> Keypair:
    return Keypair.create_from_uri(uri)


def ss58(uri: str) -> str:
    return str(keypair(uri).ss58_address)


def jpeg(side: int = 224) -> bytes:
    data = BytesIO()
    Image.new("RGB", (side, side), (90, 110, 130)).save(data, "JPEG")
    return data.getvalue()


def subnet() -> Snapshot:
    """A permitted validator, a second one, a neuron without a permit, a validator of little stake, and us."""
    members = [(VALIDATOR, 5000.0, True), (SECOND_VALIDATOR, 1000.0, True), (NO_PERMIT, 5000.0, False)]
    members += [(POOR, 999.0, True), (MINER, 0.0, False)]
    neurons = tuple(_neuron(uid, *member) for uid, member in enumerate(members))
    return Snapshot(
        netuid=72,
        block=1000,
        tempo=360,
        taken_at=time.time(),
        price=0.01,
        owner_hotkey="",
        immunity_period=5000,
        max_uids=256,
        neurons=neurons,
        by_hotkey={neuron.hotkey: neuron for neuron in neurons},
    )


def _neuron(uid: int, uri: str, stake: float, permit: bool) -> Neuron:
    hotkey = ss58(uri)
    return Neuron(uid, hotkey, hotkey, stake, permit, None, 0.0, 0.0, 0.0, 0, 0, True)


class TrivialEngine:
    """Answers at once, with the same prediction for every image; keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def start(self) -> None: ...

    async def submit(self, request: Request) -> Verdict:
        self.requests.append(request)
        return Verdict(request.id, PREDICTION, log_odds=1.4663, path=("trivial",), versions={"trivial": "1"})

    def health(self) -> EngineHealth:
        return EngineHealth(ready=True, state="ready")

    async def stop(self) -> None: ...


@dataclass
class WallClock:
    """The wall clock of one server, `shift_s` seconds off ours."""

    shift_s: float = 0.0

    def __call__(self) -> int:
        return time.time_ns() + int(self.shift_s * 1e9)


@dataclass
class OurWire:
    """One running server. `clock` may be moved; `exchanges` and `refusals` are what it recorded."""

    port: int
    clock: WallClock
    engine: TrivialEngine
    exchanges: list[Exchange] = field(default_factory=list)
    refusals: Counter[tuple[int, str]] = field(default_factory=Counter)


@asynccontextmanager
async def our_wire(
    wire: Wire | None = None, *, started_ago_s: float = STARTED_AGO_S
) -> AsyncIterator[OurWire]:
    """A fresh server, on a free port of both loopback addresses, that believes it started that long ago.

    A server takes no nonce from before its own start, so one that has just started would refuse everybody.
    """
    wire = wire or Wire()
    running = OurWire(0, WallClock(-started_ago_s), TrivialEngine())
    admission = Admission(Blacklist())
    admission.update(subnet())
    hotkey = ss58(MINER)
    endpoint = Endpoint(
        hotkey=hotkey,
        admission=admission,
        authenticators=authenticators(hotkey),
        engine=running.engine,
        record=running.exchanges.append,
        refused=lambda status, reason: running.refusals.update([(status, reason)]),
        wire=wire,
        wall_ns=running.clock,
    )
    running.clock.shift_s = 0.0
    server = Server(endpoint, Axon.model_construct(port=0, ip="[::]"), wire)
    await server.start()
    running.port = server.port
    try:
        yield running
    finally:
        await server.stop(drain_s=1.0)

"""Parts that the rehearsal's tests share: pictures, a local chain, and a miner behind our real wire."""

from __future__ import annotations

import asyncio
import io
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bittensor.keyfiles import Keypair
from PIL import Image

from miner.chain.local import LocalChain
from miner.engine.interface import Engine, EngineHealth, Shed
from miner.records import Exchange
from miner.settings import Axon, Blacklist, Wire
from miner.wire.admission import Admission
from miner.wire.auth import authenticators
from miner.wire.endpoint import Endpoint
from miner.wire.server import Server
from models.core import Request, Verdict

VALIDATOR = Keypair.create_from_uri("//rehearsal/test/validator")
MINER = Keypair.create_from_uri("//rehearsal/test/miner")
STRANGER = Keypair.create_from_uri("//rehearsal/test/stranger")
COLOURS = {"roadwork": (230, 120, 20), "none": (110, 120, 130)}


def jpeg(colour: tuple[int, int, int] = (110, 120, 130), size: tuple[int, int] = (96, 64)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, format="JPEG")
    return buffer.getvalue()


def write_pictures(folder: Path, each: int = 3) -> Path:
    """Orange pictures are roadwork, grey ones are not."""
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(each):
            (folder / name / f"{number}.jpg").write_bytes(jpeg(colour))
    return folder


def orange(picture: bytes) -> float:
    """A classifier for those: P(roadwork)."""
    red, _, blue = Image.open(io.BytesIO(picture)).convert("RGB").resize((1, 1)).getpixel((0, 0))
    return 0.9 if red > blue + 20 else 0.1


class ColourEngine:
    """Judges by `judge` on the spot; sheds everything while `shedding`, answers nothing while `silent`."""

    def __init__(self, judge: Callable[[bytes], float] = orange) -> None:
        self._judge = judge
        self.shedding = self.silent = False

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def submit(self, request: Request) -> Verdict:
        if self.silent:
            await asyncio.Event().wait()
        if self.shedding:
            raise Shed("full")
        return Verdict(request.id, self._judge(request.views[0]), 0.0, ("colour",))

    def health(self) -> EngineHealth:
        return EngineHealth(True, "ready")


class RunningMiner:
    """What the miner under test recorded and where it listens."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.port = engine, 0
        self.exchanges: list[Exchange] = []
        self.refusals: Counter[tuple[int, str]] = Counter()


@asynccontextmanager
async def running_miner(
    allowed: str = VALIDATOR.ss58_address, engine: Engine | None = None
) -> AsyncIterator[RunningMiner]:
    """Our wire with a colour classifier behind it, or another `engine`, already started; believes it started
    a minute ago, so nonces are taken."""
    from miner.chain.snapshot import Neuron, Snapshot

    running = RunningMiner(engine or ColourEngine())
    caller = Neuron(0, allowed, "", 50_000.0, True, None, 0.0, 0.0, 0.0, 0, 0, True)
    admission = Admission(Blacklist())
    admission.update(Snapshot(72, 1, 360, 0.0, 1.0, "", 1, 256, (caller,)))
    shift = [-60.0]
    wire = Wire()
    endpoint = Endpoint(
        hotkey=MINER.ss58_address,
        admission=admission,
        authenticators=authenticators(MINER.ss58_address),
        engine=running.engine,
        record=running.exchanges.append,
        refused=lambda status, reason: running.refusals.update([(status, reason)]),
        wire=wire,
        wall_ns=lambda: time.time_ns() + int(shift[0] * 1e9),
    )
    shift[0] = 0.0
    server = Server(endpoint, Axon.model_construct(port=0, ip="127.0.0.1"), wire)
    await server.start()
    running.port = server.port
    try:
        yield running
    finally:
        await server.stop(drain_s=0.5)


def local_chain(path: Path, clock: Callable[[], float] = time.time, **rules: object) -> LocalChain:
    """A quick chain with validator and miner registered."""
    quick = {"block_s": 0.1, "tempo": 10, "serving_rate_limit": 1, "weights_rate_limit": 1}
    chain = LocalChain.create(path, clock=clock, allow_loopback=True, **{**quick, **rules})
    chain.register(VALIDATOR.ss58_address, alpha=50_000.0, permit=True)
    chain.register(MINER.ss58_address)
    return chain

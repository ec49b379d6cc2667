"""Our wire in this process, with a trivial model behind it and a clock that tests may move."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from harness.stage import MINER, TrivialEngine, ss58, subnet

from miner.records import Exchange
from miner.settings import Axon, Blacklist, Wire
from miner.wire.admission import Admission
from miner.wire.auth import authenticators
from miner.wire.endpoint import Endpoint
from miner.wire.server import Server

STARTED_AGO_S = 60.0


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

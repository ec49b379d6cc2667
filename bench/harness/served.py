"""Our wire and engine in a process of its own, with a given checkpoint. `python -m harness.served`.

Reads one JSON line {"model", "threads", "standby"}, perhaps with the "engine" (`engine.mode`), or a folder
"runtimes" where the fastest runtime is found out, once; answers {"port", "pid"} once the engine, and its
standby, are ready; stops at the end of input. The cache is off: it would answer for the model."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from loguru import logger

from harness.front import say
from harness.stage import MINER, ss58, subnet
from miner import loop
from miner.engine import chosen, create_engine
from miner.engine.backends import on_backend
from miner.engine.interface import Engine
from miner.settings import Axon, Blacklist, EngineSection, Model, Wire
from miner.wire.admission import Admission
from miner.wire.auth import authenticators
from miner.wire.endpoint import Endpoint
from miner.wire.server import Server
from models.imaging.header import Limits

WIRE = Wire(caller_rate=100_000, caller_burst=1_000_000, unproven_per_address=1024)
"""All callers come from one address and at the same moment, as behind a proxy."""


async def serve(said: dict[str, Any]) -> None:
    mode = said.get("engine", "child")
    section = EngineSection(mode=mode, threads=said["threads"], standby=said["standby"], cache_s=0)
    limits = Limits(WIRE.image_bytes, WIRE.pixels)
    model = Model(path=said["model"])
    described = chosen(None, model)
    if "runtimes" in said:
        described = on_backend(described, "auto", Path(said["runtimes"]))
    engine = create_engine(section, model, "cpu", limits, described=described)
    await engine.start()
    await ready(engine)
    hotkey = ss58(MINER)
    admission = Admission(Blacklist())
    admission.update(subnet())
    endpoint = Endpoint(
        hotkey=hotkey,
        admission=admission,
        authenticators=authenticators(hotkey),
        engine=engine,
        record=lambda exchange: None,
        refused=lambda status, reason: None,
        wire=WIRE,
    )
    server = Server(
        endpoint, Axon.model_construct(port=0, ip="127.0.0.1"), WIRE, refused=lambda status, why: None
    )
    await server.start()
    say({"port": server.port, "pid": os.getpid()})
    await end_of_input()
    logger.info("{}", engine.health())
    await server.stop(drain_s=1.0)
    await engine.stop()


async def ready(engine: Engine) -> None:
    """A standby that still loads would take the CPU from what is measured."""
    while not (engine.health().ready and not engine.health().detail):
        await asyncio.sleep(0.1)


async def end_of_input() -> None:
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    loop.run(serve(json.loads(sys.stdin.readline())))

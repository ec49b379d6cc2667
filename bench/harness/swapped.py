"""Our wire and an engine whose model can be swapped, in a process of their own.

`python -m harness.swapped` reads one JSON line {"tier", "models": [folder, ...], "data", "threads",
"shadow"}, perhaps with "ms" of a steady tier, and answers {"port", "pid", "versions"}; {"swap": version} is
answered with the report, {"memory": true} with the resident megabytes of front and children.
The cache is off: it would answer for the model."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.front import say
from harness.process import children, rss_mb
from harness.served import WIRE, ready
from harness.stage import MINER, ss58, subnet
from miner.engine.child import ChildEngine
from miner.engine.config import EngineConfig
from miner.engine.golden import Item
from miner.engine.interface import Engine
from miner.registry import Registry
from miner.settings import Axon, Blacklist
from miner.swap.cascades import in_service
from miner.swap.engine import SwappingEngine
from miner.swap.gate import gate
from miner.swap.swapper import Rules, Swapper
from miner.wire.admission import Admission
from miner.wire.auth import authenticators
from miner.wire.endpoint import Endpoint
from miner.wire.server import Server
from models.description import Description
from models.imaging.header import Limits

COMMAND = (sys.executable, "-P", str(Path(__file__).with_name("steady_child.py")))


async def nobody(tier: str, version: str) -> Sequence[Item]:
    """No labels: every swap is forced."""
    return ()


async def serve(said: dict[str, Any]) -> None:
    limits = Limits(WIRE.image_bytes, WIRE.pixels)

    def make(described: Description, *, gentle: bool) -> Engine:
        config = EngineConfig(described, "cpu", limits, threads=said["threads"], standby=False, gentle=gentle)
        return ChildEngine(config, command=COMMAND)

    tier = said["tier"]
    registry = Registry(Path(said["data"]) / "models")
    versions = [registry.add(tier, Path(folder)) for folder in said["models"]]
    registry.promote(tier, versions[0])
    base = Description("single", ({"kind": tier, **({"ms": said["ms"]} if "ms" in said else {})},))
    engine = SwappingEngine(make, in_service(base, registry))
    rules = Rules(shadow=said["shadow"], shadow_s=60.0, within_s=WIRE.answer_within_s)
    swapper = Swapper(engine, registry, base=base, rules=rules, gate=gate, labelled=nobody)
    await engine.start()
    await ready(engine)
    server = await served(engine)
    say({"port": server.port, "pid": os.getpid(), "versions": versions})
    await commands(swapper, tier)
    await server.stop(drain_s=1.0)
    await engine.stop()


async def served(engine: Engine) -> Server:
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
    return server


async def commands(swapper: Swapper, tier: str) -> None:
    """One line after the other, until the end of input."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        if "swap" in asked:
            say((await swapper.swap(tier, asked["swap"], force=True, by="bench")).to_json())
        else:
            say({"mb": rss_mb(os.getpid()) + sum(map(rss_mb, children(os.getpid())))})


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.stdin.readline())))

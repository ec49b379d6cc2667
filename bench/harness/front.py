"""Our front in a process of its own, with a trivial model. `python -m harness.front`.

Reads one JSON line {"wire": {...}}, answers {"port", "pid"} when it serves, stops at the end of input.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections import Counter
from typing import Any

from harness.stage import MINER, TrivialEngine, ss58, subnet
from miner.loop import run
from miner.settings import Axon, Blacklist, Wire
from miner.wire.admission import Admission
from miner.wire.auth import authenticators
from miner.wire.endpoint import Endpoint
from miner.wire.server import Server


async def serve(settings: dict[str, Any]) -> None:
    wire = Wire(**settings.get("wire", {}))
    hotkey = ss58(MINER)
    admission = Admission(Blacklist())
    admission.update(subnet())
    refusals: Counter[tuple[int, str]] = Counter()

    def refused(status: int, reason: str) -> None:
        refusals[status, reason] += 1

    endpoint = Endpoint(
        hotkey=hotkey,
        admission=admission,
        authenticators=authenticators(hotkey),
        engine=TrivialEngine(),
        record=lambda exchange: None,
        refused=refused,
        wire=wire,
    )
    server = Server(endpoint, Axon.model_construct(port=0, ip="[::]"), wire, refused=refused)
    await server.start()
    say({"port": server.port, "pid": os.getpid()})
    await commands(refusals)
    await server.stop(drain_s=2.0)


async def commands(refusals: Counter[tuple[int, str]]) -> None:
    """Answer every line with the refusals so far, until the end of input."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def read() -> None:
        for _ in sys.stdin:
            say({f"{status} {reason}": count for (status, reason), count in refusals.items()})
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=read, daemon=True).start()
    await ended.wait()


def say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    run(serve(json.loads(sys.stdin.readline())))

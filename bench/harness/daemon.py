"""The whole miner in a process of its own: `miner.app` as it is, but for the tiers in its engine child.

`python -m harness.daemon` reads one JSON line {"folder", "port", "flags"}, perhaps with "tiers" (specs;
"trivial" without, "steady" is one more kind), "hotkeys" (a number) and "watched", answers {"pid"}, and ends
with its input. With "watched" each further line is answered with what `harness.held` saw of the event loop
since the last one; without it nothing runs here that the miner itself does not run. The chain is a local one
in the folder, with the members of `harness.stage`; ledger, request log, metrics, page and control socket are
on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from harness.held import Held
from harness.stage import MEMBERS, MINER, keypair, ss58
from miner import app, engine, loop
from miner.chain.local import LocalChain
from miner.engine.child import ChildEngine
from miner.settings import load
from miner.telemetry import set_up_logging
from models.description import Description

TRIVIAL = ({"kind": "trivial", "log_odds": 1.4663},)
COMMAND = (sys.executable, "-P", str(Path(__file__).with_name("steady_child.py")))


def found(path: Path) -> None:
    """Make the chain and register the stage's members, the poor one and the one without a permit included."""
    chain = LocalChain.create(path)
    for uri, stake, permit in MEMBERS:
        chain.register(ss58(uri), alpha=stake, permit=permit)


def main() -> None:
    said = json.loads(sys.stdin.readline())
    folder = Path(said["folder"])
    found(folder / "chain.sqlite")
    flags = {
        "subtensor.network": "local",
        "subtensor.local_file": folder / "chain.sqlite",
        "data.path": folder / "data",
        "axon.port": said["port"],
        "page.port": 0,
        "neuron.image_detector_device": "cpu",
        **said["flags"],
    }
    settings = load([part for name, value in flags.items() for part in (f"--{name}", str(value))], env={})
    set_up_logging()
    tiers = tuple(said.get("tiers", TRIVIAL))
    app.chosen = lambda cascade, model: Description("bench", tiers)
    engine.ENGINES["child"] = partial(ChildEngine, command=COMMAND)
    print(json.dumps({"pid": os.getpid()}), flush=True)
    serving = app.run(settings, *hotkeys(said.get("hotkeys", 1)))
    sys.exit(loop.run(served(serving, Held() if said.get("watched") else None)))


def hotkeys(count: int) -> list[Any]:
    """The stage's miner, and others that are registered nowhere."""
    return [keypair(MINER), *(keypair(f"//another-{number}") for number in range(1, count))]


async def served(serving: Coroutine[Any, Any, int], held: Held | None) -> int:
    """`serving`, until the input ends. No thread begins before the loop does, as in the miner: it would have
    a heap of its own."""
    answer = held.take if held else None
    threading.Thread(target=stop_at_end_of_input, args=(answer,), daemon=True).start()
    task = asyncio.create_task(held.run()) if held else None
    try:
        return await serving
    finally:
        if task is not None:
            task.cancel()


def stop_at_end_of_input(answer: Callable[[], dict[str, Any]] | None = None) -> None:
    for _ in sys.stdin:
        if answer is not None:
            print(json.dumps(answer()), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()

"""The whole miner in a process of its own: `miner.app` as it is, but for a trivial tier in its engine child.

`python -m harness.daemon` reads one JSON line {"folder", "port", "flags"}, answers {"pid"}, ends with its
input. The chain is a local one in the folder, with the members of `harness.stage`; ledger, request log,
metrics, page and control socket are on.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

from harness.stage import MEMBERS, MINER, keypair, ss58
from miner import app, loop
from miner.chain.local import LocalChain
from miner.settings import load
from miner.telemetry import set_up_logging
from models.description import Description

TRIVIAL = Description("trivial", ({"kind": "trivial", "log_odds": 1.4663},))


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
    app.chosen = lambda cascade, model: TRIVIAL
    print(json.dumps({"pid": os.getpid()}), flush=True)
    threading.Thread(target=stop_at_end_of_input, daemon=True).start()
    sys.exit(loop.run(app.run(settings, keypair(MINER))))


def stop_at_end_of_input() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()

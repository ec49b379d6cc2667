"""The whole miner in a process of its own: `miner.app` as it is, but for the tier in its engine child and a
wall clock that can be stepped.

`python -m harness.soak.daemon` reads one JSON line {"flags", "tiers", "clock", "key"}, answers {"pid"}, and
ends with its input, as by SIGTERM. The local chain keeps the true time: it is everybody's.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path

from harness.soak.clock import Step, wear

COMMAND = (sys.executable, "-P", "-m", "harness.soak.child")


def main() -> None:
    said = json.loads(sys.stdin.readline())
    print(json.dumps({"pid": os.getpid()}), flush=True)  # at once: a busy machine imports for a minute
    import miner.chain.local  # noqa: F401 - before the clock is worn

    wear(Step(Path(said["clock"])))
    from harness.daemon import served
    from harness.stage import keypair
    from miner import app, engine, loop
    from miner.engine.child import ChildEngine
    from miner.settings import load
    from miner.telemetry import set_up_logging
    from models.description import Description

    engine.ENGINES["child"] = partial(ChildEngine, command=COMMAND)
    app.chosen = lambda cascade, model: Description("soak", tuple(said["tiers"]))
    settings = load([f"--{name}={value}" for name, value in said["flags"].items()], env={})
    set_up_logging()
    sys.exit(loop.run(served(app.run(settings, keypair(said["key"])), None)))


if __name__ == "__main__":
    main()

"""A miner's engine that kills itself at a step of a swap: `python swap_killed.py FOLDER STEP VERSION`.

Without a step it starts, prints {"champion", "log_odds"} for a bright picture, and ends."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from swap_kit import TIER, Stage, until


def at(step):
    def told(now):
        if now == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return told


async def main(folder, step="", version=""):
    stage = Stage(Path(folder), shadow=0, on_step=at(step))
    stage.registry.sweep()
    await stage.engine.start()
    await until(lambda: stage.engine.health().ready)
    if step:
        await stage.swapper.swap(TIER, version, force=step != "gate")
    sys.stdout.write(
        json.dumps({"champion": stage.registry.pointers(TIER).champion, "log_odds": await stage.says(200)})
        + "\n"
    )
    await stage.engine.stop()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

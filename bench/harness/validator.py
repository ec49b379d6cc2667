"""An honest validator at a steady rate, in a process of its own. `python -m harness.validator`.

Reads one JSON line {"port", "rate"}; then answers each line with what came of its challenges since the last.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import Any

from harness.load import percentiles
from harness.stage import CHALLENGE_BYTES, MINER, PREDICTION, VALIDATOR, jpeg, keypair, ss58
from miner.rehearsal.dendrite import Dendrite, Reply, prebuild


class Lap:
    """What happened since the last report."""

    def __init__(self) -> None:
        self.ms: list[float] = []
        self.outcomes: Counter[str] = Counter()

    def add(self, reply: Reply) -> None:
        self.ms.append(reply.ms)
        good = reply.status == 200 and reply.prediction == PREDICTION
        self.outcomes["answered" if good else f"{reply.status} {reply.reason}".strip()] += 1

    def report(self) -> dict[str, Any]:
        numbers = percentiles([ms / 1000 for ms in self.ms])
        return {"outcomes": dict(self.outcomes), "max": max(self.ms, default=0.0), **numbers}


async def challenge_forever(settings: dict[str, Any], laps: list[Lap]) -> None:
    """A challenge every 1/rate seconds, whether or not the last one has been answered."""
    body = prebuild(jpeg(size=CHALLENGE_BYTES))
    loop = asyncio.get_running_loop()
    async with (
        Dendrite(keypair(VALIDATOR), "127.0.0.1", settings["port"], ss58(MINER)) as dendrite,
        asyncio.TaskGroup() as group,
    ):
        due = loop.time()
        while True:
            group.create_task(_challenge(dendrite, body, laps))
            due += 1 / settings["rate"]
            await asyncio.sleep(due - loop.time())


async def _challenge(dendrite: Dendrite, body: Any, laps: list[Lap]) -> None:
    reply = await dendrite.challenge(body)
    laps[-1].add(reply)


async def main() -> None:
    settings = json.loads(sys.stdin.readline())
    laps = [Lap()]
    challenging = asyncio.create_task(challenge_forever(settings, laps))
    print(json.dumps({"ready": True}), flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        laps.append(Lap())
        print(json.dumps(laps[-2].report()), flush=True)
    challenging.cancel()


if __name__ == "__main__":
    asyncio.run(main())

"""Callers who ask at a given rate, whatever the answers do. `python -m harness.paced`.

Reads one JSON line {"images"}, answers {}. {"port", "rate"} begins to ask and is answered at once: at an even
pace, or with a "seed" as `poisson` draws it; {"mark"} names what follows; {"stop": true} is answered with
{name: {"ms": [...], "lost", "shed", "reasons": {why lost: count}}} once everybody has an answer."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.closed import PATIENCE_S, first_answer, outcome
from harness.front import say
from harness.stage import MINER, VALIDATOR, keypair, ss58
from miner.rehearsal.dendrite import Body, Dendrite, prebuild


def poisson(rate: float, seed: int) -> Iterator[float]:
    """Seconds of arrivals that do not know of each other, `rate` a second in the mean."""
    chance, at = random.Random(seed), 0.0
    while True:
        yield at
        at += chance.expovariate(rate)


class Callers:
    """Asks `rate` times a second from `begin` to `stop`; `mark` names the time that begins now."""

    def __init__(self, bodies: list[Body]) -> None:
        self._bodies = bodies
        self._seen: dict[str, dict[str, Any]] = defaultdict(
            lambda: {"ms": [], "lost": 0, "shed": 0, "reasons": Counter()}
        )
        self._mark = ""
        self._asking: asyncio.Task[None] | None = None

    def begin(self, port: int, rate: float, seed: int | None = None) -> None:
        moments = (n / rate for n in itertools.count()) if seed is None else poisson(rate, seed)
        self._seen.clear()
        self._asking = asyncio.create_task(self._ask(port, moments))

    def mark(self, name: str) -> None:
        self._mark = name

    async def stop(self) -> dict[str, Any]:
        assert self._asking is not None
        self._asking.cancel()
        await asyncio.gather(self._asking, return_exceptions=True)
        return self._seen

    async def _ask(self, port: int, moments: Iterator[float]) -> None:
        dendrite = Dendrite(keypair(VALIDATOR), "127.0.0.1", port, ss58(MINER), timeout=PATIENCE_S)
        async with dendrite, asyncio.TaskGroup() as tasks:
            await first_answer(dendrite, self._bodies[0])
            start = time.perf_counter()
            try:
                for n, at in enumerate(moments):
                    await asyncio.sleep(max(0.0, start + at - time.perf_counter()))
                    tasks.create_task(self._one(dendrite, self._bodies[n % len(self._bodies)], self._mark))
            except asyncio.CancelledError:
                """The end: who was asked is waited for, below."""

    async def _one(self, dendrite: Dendrite, body: Body, mark: str) -> None:
        reply = await dendrite.challenge(body)
        found, seen = outcome(reply), self._seen[mark]
        if found == "answered":
            seen["ms"].append(reply.ms)
            return
        seen[found] += 1
        if found == "lost":
            seen["reasons"][f"{reply.status} {reply.reason}"] += 1


async def serve(images: Path) -> None:
    callers = Callers([prebuild(file.read_bytes()) for file in sorted(images.iterdir())])
    say({})
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        if "port" in asked:
            callers.begin(asked["port"], asked["rate"], asked.get("seed"))
        if "mark" in asked:
            callers.mark(asked["mark"])
        say(dict(await callers.stop()) if "stop" in asked else {})


if __name__ == "__main__":
    asyncio.run(serve(Path(json.loads(sys.stdin.readline())["images"])))

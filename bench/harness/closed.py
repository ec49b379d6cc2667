"""Callers who each wait for their answer before they ask again, as patient as a validator. `python -m
harness.closed`.

Reads one JSON line {"images"}, answers {}; each line with a `Round` is answered with its `Result`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from harness.front import say
from harness.load import percentiles
from harness.stage import MINER, VALIDATOR, keypair, ss58
from miner.rehearsal.dendrite import Body, Dendrite, Reply, prebuild

PATIENCE_S = 9.0
START_S = 30.0
AT_ONCE_MS = 1000.0
TOGETHER_S = 0.05
"""Answers this close belong to one batch."""
PAUSE_S = 1.0
"""Whoever was refused asks again after this long."""


@dataclass(frozen=True, slots=True)
class Round:
    """`concurrency` callers for `ramp_s + seconds`; `expected` image name -> the prediction it must get, as
    far as that is known."""

    port: int
    concurrency: int
    seconds: float
    ramp_s: float
    expected: dict[str, float]


@dataclass(slots=True)
class Result:
    """`answered` within the measured seconds; `per_s` their rate; `outcomes` of the whole round; `ms` of the
    answered ones.

    `reasons` HTTP status and text -> count of everything that was no answer; `wrong` answers whose
    prediction is not that of the image sent."""

    answered: int = 0
    per_s: float = 0.0
    outcomes: dict[str, int] = field(default_factory=dict)
    ms: dict[str, float] = field(default_factory=dict)
    wrong: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


def outcome(reply: Reply) -> str:
    """ "answered", "shed" (refused at once for want of time) or "lost": everything else, other refusals
    included."""
    if reply.outcome == "shed":
        return "shed" if "Overloaded" in reply.reason and reply.ms < AT_ONCE_MS else "lost"
    return "answered" if reply.outcome == "answered" else "lost"


def rate(times: list[float]) -> float:
    """Answers per second from one batch's answers to another's: a window of fixed length holds a batch more
    or less by chance, a tenth where ten are answered. `times` in order; 0 for less than two batches."""
    rest = [at for at in times if at > times[0] + TOGETHER_S]
    return len(rest) / (times[-1] - times[0]) if rest else 0.0


async def first_answer(dendrite: Dendrite, body: Body) -> None:
    """A server that was just started takes no nonce that may be older than it. Raises TimeoutError."""
    async with asyncio.timeout(START_S):
        while (await dendrite.challenge(body)).outcome != "answered":
            await asyncio.sleep(0.1)


async def run(round_: Round, bodies: dict[str, Body]) -> Result:
    names = itertools.cycle(bodies)
    seen: list[tuple[float, str, Reply]] = []

    async def ask(dendrite: Dendrite, end: float) -> None:
        while time.perf_counter() < end:
            name = next(names)
            reply = await dendrite.challenge(bodies[name])
            seen.append((time.perf_counter(), name, reply))
            if reply.outcome != "answered":
                await asyncio.sleep(PAUSE_S)

    async with Dendrite(
        keypair(VALIDATOR), "127.0.0.1", round_.port, ss58(MINER), timeout=PATIENCE_S
    ) as dendrite:
        await first_answer(dendrite, bodies[next(names)])
        begin = time.perf_counter() + round_.ramp_s
        end = begin + round_.seconds
        await asyncio.gather(*(ask(dendrite, end) for _ in range(round_.concurrency)))
    answered = [(at, name, reply) for at, name, reply in seen if reply.outcome == "answered"]
    within = sorted(at for at, _, _ in answered if begin <= at < end)
    return Result(
        answered=len(within),
        per_s=rate(within),
        outcomes=dict(Counter(outcome(reply) for _, _, reply in seen)),
        reasons=dict(Counter(f"{reply.status} {reply.reason}" for _, _, reply in seen if reply.reason)),
        ms=percentiles([reply.ms / 1e3 for _, _, reply in answered]),
        wrong=sum(
            abs(reply.prediction - round_.expected.get(name, reply.prediction)) > 1e-3
            for _, name, reply in answered
        ),
    )


def main() -> None:
    folder = Path(json.loads(sys.stdin.readline())["images"])
    bodies = {file.name: prebuild(file.read_bytes()) for file in sorted(folder.iterdir())}
    say({})
    for line in sys.stdin:
        say(asdict(asyncio.run(run(Round(**json.loads(line)), bodies))))


if __name__ == "__main__":
    main()

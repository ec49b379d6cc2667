"""The rehearsal validator: asks the miners of a local chain, scores them as subnet 72 does, sets weights.

Also the load generator: `--rate 0` sends as fast as `--concurrency` allows.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from miner.chain.client import Chain
from miner.rehearsal.challenges import Challenge, Draws
from miner.rehearsal.deck import SAMPLE, Deck, Target
from miner.rehearsal.dendrite import TIMEOUT_S, Body, Dendrite, prebuild
from miner.rehearsal.scores import Scores
from miner.rehearsal.show import Asked, MinerRow, View
from miner.rehearsal.subnet import Subnet
from miner.rehearsal.tally import Tally
from models.imaging.header import ImageError

STALL_S = 1.0
"""A run that falls further behind its rate than this does not make up for it by a burst."""
LOOK_S = 3.0
"""Longer than a look at the chain takes."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a run goes.

    `rate`        challenges started per second (0: as fast as `concurrency` allows).
    `concurrency` most challenges in flight; `count` of the run (None: endless).
    `sample`      miners asked per challenge; `timeout_s` total per answer.
    `distinct`    draw this many challenges beforehand and go round (0: draw each one anew).
    `settle`      after the last challenge, wait for the epoch that pays for it.
    """

    rate: float = 1.0
    concurrency: int = 8
    count: int | None = None
    sample: int = SAMPLE
    timeout_s: float = TIMEOUT_S
    distinct: int = 0
    settle: bool = False


class Validator:
    """One run: `await run()` until it has sent its count or is cancelled, then `summary()`.

    `keypair` is the validator's hotkey: registered, with a permit and stake.
    """

    def __init__(self, chain: Chain, keypair: Any, draws: Draws, pace: Pace, view: View) -> None:
        self._keypair, self._draws, self._pace, self._view = keypair, draws, pace, view
        self._deck = Deck(random.Random(draws.seed), pace.sample)
        self._scores = Scores(keypair.ss58_address)
        self._subnet = Subnet(chain, keypair, self._scores, changed=view.board, note=view.note)
        self._tally = Tally()
        self._places = asyncio.Semaphore(pace.concurrency)
        self._dendrites: dict[Target, Dendrite] = {}
        self._drawn: list[tuple[Challenge, Body]] = []
        self._began: float | None = None
        self._ended: float | None = None

    async def run(self) -> None:
        """Challenge, score, set weights. What miners, chain or single pictures do wrong never ends a run."""
        try:
            async with asyncio.TaskGroup() as tasks:
                keeper = tasks.create_task(self._subnet.keep())
                self._drawn = [await self._draw(number) for number in range(self._pace.distinct)]
                await self._rounds()
                if self._pace.settle:
                    await self._subnet.settle()
                keeper.cancel()
        finally:
            await asyncio.gather(*(dendrite.close() for dendrite in self._dendrites.values()))

    def summary(self) -> dict[str, Any]:
        """Counts, latencies and standings of the run, in plain JSON types."""
        elapsed = 0.0 if self._began is None else (self._ended or time.monotonic()) - self._began
        board = self._subnet.board
        miners = [self._miner(row) for row in board.miners if self._scores.standing(row.uid)]
        return self._tally.summary(elapsed) | {
            "epochs": board.epochs,
            "seed": self._draws.seed,
            "miners": miners,
        }

    async def _rounds(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                async for number in self._numbers():
                    tasks.create_task(self._round(number))
        finally:
            self._ended = time.monotonic()

    async def _numbers(self) -> AsyncIterator[int]:
        """Challenge numbers, each when it is due, somebody can be asked and a place is free."""
        number, due = 0, 0.0
        while self._pace.count is None or number < self._pace.count:
            await self._somebody()
            await self._places.acquire()
            now = time.monotonic()
            self._began = self._began or now
            if self._pace.rate:
                due = due if due > now - STALL_S else now
                await asyncio.sleep(due - now)
                due += 1 / self._pace.rate
            yield number
            number += 1

    async def _somebody(self) -> None:
        """Wait until there is a miner that can be asked, and say so when that takes its time."""
        if self._subnet.anyone.is_set():
            return
        try:
            await asyncio.wait_for(self._subnet.anyone.wait(), LOOK_S)
        except TimeoutError:
            self._view.note("waiting for a miner that serves")
            await self._subnet.anyone.wait()

    async def _round(self, number: int) -> None:
        """One challenge, put to a hand of miners at the same time."""
        try:
            drawn = self._drawn[number % len(self._drawn)] if self._drawn else await self._draw(number)
            hand = [self._subnet.targets[uid] for uid in self._deck.deal(self._subnet.targets)]
            await asyncio.gather(*(self._ask(target, *drawn) for target in hand))
        except (ImageError, OSError) as error:
            self._view.note(f"challenge {number} could not be drawn: {error}")
        finally:
            self._places.release()

    async def _draw(self, number: int) -> tuple[Challenge, Body]:
        challenge = await asyncio.to_thread(self._draws.draw, number)
        return challenge, prebuild(challenge.image, testnet_label=challenge.label)

    async def _ask(self, target: Target, challenge: Challenge, body: Body) -> None:
        reply = await self._dendrite(target).challenge(body)
        self._tally.add(reply, challenge.label)
        standing = self._scores.observe(target.uid, target.hotkey, reply.prediction, challenge.label)
        self._view.asked(Asked(challenge, target.uid, reply, standing))

    def _dendrite(self, target: Target) -> Dendrite:
        if target not in self._dendrites:
            self._dendrites[target] = Dendrite(
                self._keypair, target.host, target.port, target.hotkey, timeout=self._pace.timeout_s
            )
        return self._dendrites[target]

    def _miner(self, row: MinerRow) -> dict[str, Any]:
        standing = self._scores.standing(row.uid)
        assert standing is not None
        return {
            "uid": row.uid,
            "hotkey": row.hotkey,
            "address": row.address,
            "mcc": round(standing.mcc, 4),
            "accuracy": round(standing.accuracy, 4),
            "reward": round(standing.reward, 4),
            "score": round(standing.score, 6),
            "weight": round(row.weight, 6),
            "incentive": round(row.incentive, 6),
            "alpha_paid": round(row.alpha, 6),
        }

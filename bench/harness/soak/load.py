"""What asks the miner all the while: the rehearsal validator, bursts of a second one, hostile clients."""

from __future__ import annotations

import asyncio
import hashlib
import io
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from harness.attacks import ATTACKS, Endings, Target
from harness.stage import MINER, VALIDATOR, keypair, ss58
from miner.chain.client import Chain
from miner.chain.local import LocalChain
from miner.rehearsal.challenges import Challenge
from miner.rehearsal.dendrite import Dendrite, Reply, prebuild
from miner.rehearsal.run import Pace, Validator
from miner.rehearsal.show import Asked, Board

BURSTER = "//burst-validator"
SIDE = 96
PADDING = 6_000
"""Bytes of a comment that make each picture its own, and challenges as large as the usual ones."""
WHY = {"unreachable": "unreached", "No model is available": "unready"}
"""Reasons for which nothing was lost: nobody listened; it listens, and its model still loads."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One challenge; times in monotonic seconds."""

    sha256: str
    caller: str
    outcome: str
    reason: str
    prediction: float
    ms: float
    asked_s: float
    done_s: float


@dataclass
class Record:
    """Everything that the honest callers sent. A `View` of the rehearsal validator.

    `open` the SHA-256 of what was drawn and has no outcome: in the end, what the callers did not wait for.
    """

    sent: list[Sent] = field(default_factory=list)
    open: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def add(self, image: bytes, caller: str, reply: Reply) -> None:
        done = time.monotonic()
        digest = hashlib.sha256(image).hexdigest()
        self.open.discard(digest)
        outcome = WHY.get(reply.reason, reply.outcome)
        row = Sent(
            *(digest, caller, outcome, reply.reason, reply.prediction, reply.ms),
            asked_s=done - reply.ms / 1e3,
            done_s=done,
        )
        self.sent.append(row)

    def asked(self, row: Asked) -> None:
        self.add(row.challenge.image, VALIDATOR, row.reply)

    def board(self, board: Board) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)

    def close(self) -> None: ...


class Pictures:
    """Challenges that cost little to draw: bright ones are roadwork. No two are the same."""

    def __init__(self, seed: int, open: set[str]) -> None:
        self.seed, self._open = seed, open

    def draw(self, number: int) -> Challenge:
        rng = random.Random(f"{self.seed}/{number}")
        label = rng.randrange(2)
        grey = rng.randrange(140, 240) if label else rng.randrange(20, 116)
        image = picture(grey, rng.randbytes(PADDING))
        self._open.add(hashlib.sha256(image).hexdigest())
        return Challenge(number, image, label, "augmented", 0, "soak")


def picture(grey: int, comment: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), (grey,) * 3).save(buffer, "JPEG", comment=comment)
    return buffer.getvalue()


def validator(chain: Path, netuid: int, rate: float, record: Record, seed: int) -> Validator:
    """The rehearsal validator: steady, endless, with its scores and weights on the local chain."""
    draws: Any = Pictures(seed, record.open)
    pace = Pace(rate=rate, concurrency=256)
    return Validator(Chain(netuid, substrate=LocalChain(chain)), keypair(VALIDATOR), draws, pace, record)


async def bursts(port: int, record: Record, *, size: int, every_s: float, seed: int) -> None:
    """For ever: `size` challenges in the same moment, each `every_s` seconds."""
    pictures, number = Pictures(seed + 1, record.open), 0
    async with Dendrite(keypair(BURSTER), "127.0.0.1", port, ss58(MINER)) as dendrite:

        async def one(number: int) -> None:
            challenge = pictures.draw(number)
            reply = await dendrite.challenge(prebuild(challenge.image, testnet_label=challenge.label))
            record.add(challenge.image, BURSTER, reply)

        while True:
            await asyncio.sleep(every_s)
            await asyncio.gather(*(one(number + n) for n in range(size)))
            number += size


async def hostile(port: int, endings: Callable[[str, Endings], None], pause_s: float) -> None:
    """For ever: one attack after the other, small ones, so that they compete with nobody for the CPU."""
    aim = Target(
        port, hold_s=3.0, half_open=40, slow=20, huge=3, huge_bytes=10**7, unproven=8,
        strangers=100, forgeries=60, scans=45,
    )  # fmt: skip
    while True:
        for name, attack in ATTACKS.items():
            await asyncio.sleep(pause_s)
            try:
                endings(name, await attack(aim))
            except OSError:  # the miner is being restarted: nobody to attack
                endings(name, Counter(closed=1))

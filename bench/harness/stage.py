"""Who is on the subnet of a test, what is sent, and a model that costs nothing."""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Iterable
from io import BytesIO

from bittensor.keyfiles import Keypair
from PIL import Image

from miner.chain.snapshot import Neuron, Snapshot
from miner.engine.interface import EngineHealth
from models.core import Request, Verdict

MINER, OTHER_MINER = "//miner", "//other-miner"
VALIDATOR, SECOND_VALIDATOR, NO_PERMIT, POOR, STRANGER = (
    "//vali",
    "//vali2",
    "//registered",
    "//poor",
    "//stranger",
)
MEMBERS = (
    (VALIDATOR, 5000.0, True),
    (SECOND_VALIDATOR, 1000.0, True),
    (NO_PERMIT, 5000.0, False),
    (POOR, 999.0, True),
    (MINER, 0.0, False),
)
"""Key URI, stake in alpha, validator permit."""
PREDICTION = 0.8125
CHALLENGE_BYTES = 12_000
"""Size of a usual challenge's JPEG."""


def keypair(uri: str) -> Keypair:
    return Keypair.create_from_uri(uri)


def ss58(uri: str) -> str:
    return str(keypair(uri).ss58_address)


def subnet(members: Iterable[tuple[str, float, bool]] = MEMBERS) -> Snapshot:
    neurons = tuple(_neuron(uid, *member) for uid, member in enumerate(members))
    return Snapshot(
        netuid=72,
        block=1000,
        tempo=360,
        taken_at=time.time(),
        price=0.01,
        owner_hotkey="",
        immunity_period=5000,
        max_uids=256,
        neurons=neurons,
        by_hotkey={neuron.hotkey: neuron for neuron in neurons},
    )


def _neuron(uid: int, uri: str, stake: float, permit: bool) -> Neuron:
    hotkey = ss58(uri)
    return Neuron(uid, hotkey, hotkey, stake, permit, None, 0.0, 0.0, 0.0, 0, 0, True)


def jpeg(side: int = 224, size: int = 0, seed: int = 0) -> bytes:
    """A square JPEG; with `size`, of exactly that many bytes: a comment that `seed` changes fills it up."""
    data = BytesIO()
    Image.new("RGB", (side, side), (90, 110, 130)).save(data, "JPEG")
    plain = data.getvalue()
    room = size - len(plain) - 4
    if room < 0:
        return plain
    comment = b"\xff\xfe" + (room + 2).to_bytes(2, "big") + random.Random(seed).randbytes(room)
    return plain[:2] + comment + plain[2:]


def encoded(image: bytes) -> str:
    return base64.b64encode(image).decode()


class TrivialEngine:
    """Answers at once, with one prediction for every image; counts what it was asked, and keeps the last."""

    def __init__(self) -> None:
        self.asked = 0
        self.last: Request | None = None

    async def start(self) -> None: ...

    async def submit(self, request: Request) -> Verdict:
        self.asked, self.last = self.asked + 1, request
        return Verdict(request.id, PREDICTION, log_odds=1.4663, path=("trivial",), versions={"trivial": "1"})

    def health(self) -> EngineHealth:
        return EngineHealth(ready=True, state="ready", answered=self.asked)

    async def stop(self) -> None: ...

"""A model behind the whole miner, and the same model bare: how many images a second it can judge at best."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serve import write_images
from wire import free_port

from harness.bare import LIMITS, rates
from harness.process import Talk, ours
from harness.steady_child import Steady
from models.imaging.decode import decode
from models.weights import DEFAULT

MOST = 16
"""Images of the miner's largest batch (engine.max_batch)."""
SIZES = (1, 2, 4, 8, MOST)
FLAGS = {
    "wire.caller_rate": 100_000,
    "wire.caller_burst": 1_000_000,
    "wire.max_ahead_s": 1,
    "wire.connections": 8192,
    "wire.unproven_per_address": 4096,
    "engine.cache_s": 0,
}
"""The limits of one caller and of one address would stop a bench whose callers are all at one, and a cache
would answer for the model."""


@dataclass(frozen=True, slots=True)
class Subject:
    """`name` steady: `base_ms` a batch and `ms` an image, no CPU, as on a GPU; embedded: the image classifier
    that comes along, on the CPU, on the runtime that is fastest here; trivial: costs nothing."""

    name: str
    base_ms: float = 0.0
    ms: float = 0.0

    @property
    def tiers(self) -> list[dict[str, Any]]:
        kinds: dict[str, dict[str, Any]] = {
            "steady": {"kind": "steady", "base_ms": self.base_ms, "ms": self.ms},
            "embedded": {"kind": "classifier"},
            "trivial": {"kind": "trivial"},
        }
        return [kinds[self.name]]


class Bare:
    """The bare model; nothing else of it runs meanwhile. `prepare_s` CPU seconds that decoding and preparing
    a picture takes; `spread` the coefficient of variation of a batch's time, as last measured."""

    def __init__(self, subject: Subject, stack: ExitStack, folder: Path, images: Path) -> None:
        self._talk: Talk | None = None
        self.spread = 0.0
        if subject.name == "embedded":
            options = {"backend": "auto", "backends": str(folder / "data" / "backends")}
            said = {"model": str(DEFAULT), "images": str(images), "options": options}
            self._talk = stack.enter_context(ours("harness.bare", folder / "bare.log", said))
            self.prepare_s = float(self._talk.greeting["prepare_s"])
        else:
            self._steady = Steady(subject.ms, "bare", subject.base_ms)
            self.prepare_s = _prepare_s(self._steady, images)

    def rates(self, seconds: float, sizes: Sequence[int] = SIZES) -> dict[int, float]:
        """Images a second by batch size."""
        if self._talk is None:
            found, self.spread = rates(self._steady, [0.0] * max(sizes), seconds, sizes)
            return found
        told = self._talk.ask({"seconds": seconds, "sizes": list(sizes)})
        self.spread = float(told["spread"])
        return {int(size): float(rate) for size, rate in told["rates"].items()}


def _prepare_s(tier: Steady, images: Path) -> float:
    files = sorted(images.iterdir())
    start = time.process_time()
    for file in files:
        tier.prepare(decode(file.read_bytes(), LIMITS, side=tier.side).image)
    return (time.process_time() - start) / len(files)


@dataclass(frozen=True, slots=True)
class Stage:
    """The miner with the subject in it, and callers of both kinds, each in a process of its own."""

    miner: Talk
    closed: Talk
    paced: Talk
    bare: Bare
    port: int


def set_up(
    subject: Subject,
    stack: ExitStack,
    folder: Path,
    flags: dict[str, Any] | None = None,
    *,
    watched: bool = False,
) -> Stage:
    """Everything started and answering; the bare model's runtime is chosen first, so that both have it.
    `watched`: the miner tells how long its event loop was held, see `harness.daemon`."""
    images = folder / "images"
    write_images(images)
    (folder / "data").mkdir(mode=0o700)
    bare = Bare(subject, stack, folder, images)
    port = free_port()
    first = {"folder": str(folder), "port": port, "tiers": subject.tiers, "watched": watched}
    first["flags"] = {**FLAGS, **(flags or {})}
    miner = stack.enter_context(ours("harness.daemon", folder / "daemon.log", first))
    said = {"images": str(images)}
    closed = stack.enter_context(ours("harness.closed", folder / "closed.log", said))
    paced = stack.enter_context(ours("harness.paced", folder / "paced.log", said))
    return Stage(miner, closed, paced, bare, port)

"""A front under attack, watched: what the attackers got, what the validator got, what it cost in memory."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.attacks import Attack, Endings, Target
from harness.process import Talk, connections, ours, rss_mb

SAMPLE_S = 0.05
WARM_UP_S = 1.0


@dataclass(frozen=True, slots=True)
class Watched:
    """One attack.

    `endings`    how the attackers' attempts ended; `seconds` how long the attack took.
    `validator`  outcome -> count of the honest validator's challenges meanwhile; `p50`, `p95`, `max` in ms.
    `peak_mb`    most resident memory of the front during the attack, over that before the first one.
    `after_mb`   the same once its connections were gone; `left` how many of them were not, in the end.
    """

    endings: dict[str, int]
    seconds: float
    validator: dict[str, int]
    p50: float
    p95: float
    max: float
    peak_mb: float
    after_mb: float
    left: int

    @property
    def missed(self) -> int:
        """Challenges that were not answered with the model's prediction."""
        return sum(count for outcome, count in self.validator.items() if outcome != "answered")


class Siege:
    """A front and an honest validator who challenges it all the while."""

    def __init__(self, front: Talk, validator: Talk) -> None:
        self._front, self._validator = front, validator
        self._rss = rss_mb(front.pid)

    @property
    def port(self) -> int:
        return int(self._front.greeting["port"])

    @property
    def alive(self) -> bool:
        return Path(f"/proc/{self._front.pid}/statm").exists()

    async def quiet(self, seconds: float) -> dict[str, Any]:
        """The validator's numbers with nobody attacking."""
        await self._lap()
        await asyncio.sleep(seconds)
        return await self._lap()

    async def endure(
        self, attack: Attack, target: Target, *, settle_s: float, at_least_s: float = 0.0
    ) -> Watched:
        """Attack, again and again for `at_least_s`; then wait, at most `settle_s`, until all have gone."""
        await self._lap()
        start = time.monotonic()
        attacking = asyncio.create_task(_again(attack, target, start + at_least_s))
        peak = rss_mb(self._front.pid)
        while not attacking.done():
            await asyncio.sleep(SAMPLE_S)
            peak = max(peak, rss_mb(self._front.pid))
        seconds = time.monotonic() - start
        lap = await self._lap()
        await self._settle(settle_s)
        return Watched(
            endings=dict(attacking.result()),
            seconds=seconds,
            validator=lap["outcomes"],
            p50=lap["p50"],
            p95=lap["p95"],
            max=lap["max"],
            peak_mb=peak - self._rss,
            after_mb=rss_mb(self._front.pid) - self._rss,
            left=connections(self.port),
        )

    async def _lap(self) -> dict[str, Any]:
        return await asyncio.to_thread(self._validator.ask, {})

    async def _settle(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while connections(self.port) and time.monotonic() < end:
            await asyncio.sleep(SAMPLE_S)


async def _again(attack: Attack, target: Target, until: float) -> Endings:
    endings = Counter(await attack(target))
    while time.monotonic() < until:
        endings += await attack(target)
    return endings


@asynccontextmanager
async def siege(folder: Path, wire: dict[str, Any], *, rate: float = 20.0) -> AsyncIterator[Siege]:
    """Start both; `rate` of the validator in challenges per second, `wire` changes to the wire's settings."""
    front = await asyncio.to_thread(ours, "harness.front", folder / "front.log", {"wire": wire})
    with front:
        await asyncio.sleep(wire.get("max_ahead_s", 4.0))
        first = {"port": front.greeting["port"], "rate": rate}
        validator = await asyncio.to_thread(ours, "harness.validator", folder / "validator.log", first)
        with validator:
            await asyncio.sleep(WARM_UP_S)
            yield Siege(front, validator)

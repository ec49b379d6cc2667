"""Who asks below every validator: served when nobody else waits, and never in anybody's way."""

from __future__ import annotations

import asyncio
import time

from hypothesis import given
from hypothesis import strategies as st

from miner.engine.cache import CachedEngine
from miner.engine.config import EngineConfig
from miner.engine.forecast import Forecast
from miner.engine.gate import Gate
from miner.engine.queues import DeadlineQueue, Waiting
from models.core import BACKGROUND, Request, Verdict
from models.description import Description

NOW = 100.0


def request(number: int, priority: float = 0.0, deadline: float = NOW + 5, view: bytes = b"x") -> Request:
    return Request(str(number), "ours", "caller", (view,), deadline, priority)


rows = st.lists(
    st.tuples(st.floats(101, 120), st.floats(80, 100), st.sampled_from([BACKGROUND, 0.0, 5e4])), min_size=1
)


@given(rows, st.integers(1, 8))
def test_nobody_in_the_background_goes_before_or_beside_anybody_else(entries, most):
    queue: DeadlineQueue[float] = DeadlineQueue(lambda images: 0.05 * images)
    for key, (deadline, arrived, priority) in enumerate(entries):
        queue.put(Waiting(key, priority, deadline, arrived, priority))
    taken = []
    while batch := queue.take(most, NOW):
        taken += batch
    assert len(taken) == len(entries), "they are served in the end"
    assert [priority < 0 for priority in taken] == sorted(priority < 0 for priority in taken)


def test_a_full_background_leaves_the_gate_open_for_validators():
    gate = Gate(EngineConfig(Description("given", ({"kind": "trivial"},)), queue=64), clock=lambda: NOW)
    slow = Forecast(b=0.05, high=1.0, batch=4)
    for number in range(64):
        gate.enter(request(number, BACKGROUND, NOW + 60), slow)
    gate.enter(request(100, 1000.0, NOW + 1), slow)


async def test_a_validator_never_waits_for_an_answer_to_the_background():
    class Slow:
        """Answers the background when told to, everybody else at once."""

        def __init__(self) -> None:
            self.let = asyncio.Event()

        async def submit(self, request: Request) -> Verdict:
            if request.priority < 0:
                await self.let.wait()
            return Verdict(request.id, 0.7, 0.8)

    inner = Slow()
    engine = CachedEngine(inner, window_s=60, most=8)
    soon = time.monotonic() + 60
    behind = asyncio.create_task(engine.submit(request(1, BACKGROUND, soon)))
    await asyncio.sleep(0)
    assert (await asyncio.wait_for(engine.submit(request(2, 0.0, soon)), 5)).id == "2"
    inner.let.set()
    assert (await behind).id == "1"

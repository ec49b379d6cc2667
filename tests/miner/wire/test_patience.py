"""One timer for many waits: each ends by its own limit, by its own result, or by whoever cancels it."""

from __future__ import annotations

import asyncio

import pytest

from miner.wire import patience
from miner.wire.patience import Patience


@pytest.fixture(autouse=True)
def short_ticks(monkeypatch):
    monkeypatch.setattr(patience, "TICK_S", 0.005)


async def later(seconds: float, value: int) -> int:
    await asyncio.sleep(seconds)
    return value


async def test_results_in_time_come_back_and_late_ones_time_out():
    wait = Patience()
    ended = await asyncio.gather(
        wait(later(0.0, 1), 1.0), wait(later(9.0, 2), 0.02), wait(later(0.05, 3), 1.0), return_exceptions=True
    )
    assert ended[0] == 1 and ended[2] == 3 and isinstance(ended[1], TimeoutError)


async def test_what_is_late_is_cancelled_and_its_waiter_goes_on_unharmed():
    cancelled = asyncio.Event()

    async def slow() -> None:
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(TimeoutError):
        await Patience()(slow(), 0.01)
    assert cancelled.is_set()
    task = asyncio.current_task()
    assert task is not None and task.cancelling() == 0


async def test_a_cancellation_from_outside_stays_one():
    task = asyncio.create_task(Patience()(later(9, 1), 5.0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_what_is_awaited_is_raised():
    async def broken() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await Patience()(broken(), 1.0)


async def test_it_ticks_only_while_somebody_waits():
    wait = Patience()
    await wait(later(0.0, 1), 1.0)
    await asyncio.sleep(0.03)
    assert not wait._ticking
    with pytest.raises(TimeoutError):
        await wait(later(9, 1), 0.0)

"""Full collections wait until there is little to walk over, and not for ever."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextlib import suppress

import pytest

from miner.collector import tidy


class Node:
    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def collector():
    usual = gc.get_threshold()
    yield
    assert gc.get_threshold() == usual
    gc.unfreeze()


async def survivor(kept: int, rounds: int, **options: float) -> tuple[bool, int]:
    """Whether a cycle that grew old is still there after some rounds, with `kept` old objects beside it; and
    the full collections that nobody asked for while many more came."""
    task = asyncio.create_task(tidy(every_s=0.01, **options))
    await asyncio.sleep(0)
    gc.collect()  # few are old now: a few more would be a quarter of them
    beside, node = [[n] for n in range(kept)], Node()
    gone = weakref.ref(node)
    gc.collect(1)  # now they belong to the oldest generation
    del node
    before = gc.get_stats()[2]["collections"]
    grown = [[n] for n in range(150_000)]  # would bring about several full collections
    automatic = gc.get_stats()[2]["collections"] - before
    await asyncio.sleep(0.01 * rounds)
    assert len(beside) == kept and grown
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return gone() is not None, automatic


def test_a_cycle_goes_when_there_is_little_to_walk_over():
    assert asyncio.run(survivor(0, 20, most=10**6)) == (False, 0)


def test_it_stays_while_there_is_much_but_not_for_ever():
    assert asyncio.run(survivor(1_000, 20, most=500)) == (True, 0)
    assert asyncio.run(survivor(1_000, 20, most=500, latest_s=0.02)) == (False, 0)

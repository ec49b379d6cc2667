"""The watch on a virtual clock."""

from __future__ import annotations

import asyncio

import pytest
from chain_samples import neuron, snapshot
from loguru import logger

from miner.chain.errors import ChainDown, ChainRefused
from miner.chain.watch import ChainWatch, epoch_passed
from miner.settings import Subtensor


class Time:
    """Monotonic seconds that pass only in `sleep`; ends the watch after so many sleeps."""

    def __init__(self, sleeps: int = 10**9) -> None:
        self.now, self.slept, self._sleeps = 0.0, [], sleeps

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)
        if len(self.slept) >= self._sleeps:
            raise asyncio.CancelledError


class Script:
    """A chain that answers what it is told to, in order, the last for ever."""

    def __init__(self, *answers) -> None:
        self._answers, self.rotated = list(answers), 0

    async def snapshot(self):
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def rotate(self) -> None:
        self.rotated += 1


DOWN = ChainDown("no answer within 20 s")


def at(block, *, us=1, emission=0.0, **fields):
    """A subnet at a block with our hotkey ("hot1") on UID `us` (None: gone)."""
    mine = [] if us is None else [neuron(us, hotkey="hot1", emission=emission, incentive=0.25)]
    return snapshot(
        neuron(0, incentive=0.5), *mine, block=block, **{"max_uids": 256, "last_epoch": 9_900, **fields}
    )


def watch_of(*answers, time=None, **options):
    time = time or Time()
    chain = Script(*answers)
    settings = Subtensor(refresh_s=60.0)
    watch = ChainWatch(
        chain, "hot1", settings, clock=time, sleep=time.sleep, jitter=lambda a, b: (a + b) / 2, **options
    )
    return watch, chain, time


@pytest.fixture
def lines():
    said = []
    sink = logger.add(
        lambda message: said.append(message.record["level"].name + " " + message.record["message"])
    )
    yield said
    logger.remove(sink)


async def run(watch):
    with pytest.raises(asyncio.CancelledError):
        await watch.run()


async def test_subscribers_get_every_snapshot_and_age_counts_from_the_last_good_one():
    watch, _, time = watch_of(at(1), at(2), DOWN)
    seen = []
    watch.on_snapshot(lambda s: seen.append(s.block))
    assert watch.state == "starting"
    assert watch.age_s is None
    await watch.refresh()
    time.now += 60
    await watch.refresh()
    assert watch.state == "ok"
    time.now += 60
    await watch.refresh()
    assert seen == [1, 2]
    assert (watch.state, watch.age_s, watch.snapshot.block) == ("stale", 60.0, 2)


async def test_a_chain_that_is_down_at_the_start_is_tried_with_growing_pauses_until_it_comes():
    watch, _, time = watch_of(*[DOWN] * 8, at(1), time=Time(sleeps=10))
    await run(watch)
    assert time.slept == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert watch.state == "ok"


async def test_after_a_recovery_the_pauses_begin_anew():
    watch, _, time = watch_of(DOWN, DOWN, DOWN, at(1), DOWN, DOWN, time=Time(sleeps=6))
    await run(watch)
    assert time.slept == [1, 2, 4, 60, 1, 2]
    assert watch.status().failures == 2


async def test_the_pauses_are_jittered():
    watch, _, time = watch_of(DOWN, time=Time(sleeps=3))
    watch._jitter = lambda low, high: high
    await run(watch)
    assert time.slept == [1.5, 3.0, 6.0]


async def test_each_change_of_state_is_said_once(lines):
    watch, *_ = watch_of(DOWN, DOWN, at(1), DOWN, DOWN, DOWN, at(2), time=Time(sleeps=7))
    events = []
    watch.on_event(lambda kind, data: events.append((kind, data.get("state"))))
    await run(watch)
    states = [state for kind, state in events if kind == "chain_state"]
    assert states == ["down", "ok", "stale", "ok"]
    said = [line for line in lines if "uid" not in line]
    assert [line.split()[0] for line in said] == ["ERROR", "INFO", "WARNING", "INFO"]
    assert "none yet" in said[0] and "block 1" in said[1]
    assert "no answer within 20 s" in said[2]
    assert "block 1" in said[2]


async def test_after_half_an_hour_stale_is_called_down_and_the_snapshot_is_kept():
    watch, _, time = watch_of(at(1), DOWN)
    await watch.refresh()
    time.now += 1801
    await watch.refresh()
    assert watch.state == "down"
    assert watch.snapshot.block == 1


async def test_deregistered_and_back_on_another_uid(lines):
    watch, *_ = watch_of(at(1, us=7), at(2, us=None), at(3, us=None), at(4, us=9))
    events = []
    watch.on_event(lambda kind, data: events.append((kind, dict(data))))
    for _ in range(2):
        await watch.refresh()
    assert watch.state == "deregistered"
    assert watch.neuron is None
    for _ in range(2):
        await watch.refresh()
    assert (watch.state, watch.status().uid) == ("ok", 9)
    uids = [data for kind, data in events if kind == "uid"]
    assert uids == [{"uid": 7, "was": None}, {"uid": None, "was": 7}, {"uid": 9, "was": None}]
    assert sum("hot1 is not registered on subnet 72" in line for line in lines) == 1


async def test_an_epoch_pays_once():
    watch, *_ = watch_of(
        at(9_950),
        at(9_960),
        at(10_270, last_epoch=10_260, emission=2.5),
        at(10_280, last_epoch=10_260, emission=2.5),
        at(10_630, last_epoch=10_620, us=None),
    )
    paid = []
    watch.on_payout(paid.append)
    for _ in range(5):
        await watch.refresh()
    assert [(row.block, row.alpha) for row in paid] == [(9_900, 0.0), (10_260, 2.5)]
    assert paid[1].tao == pytest.approx(0.025)
    assert paid[1].rank == 2


def test_without_a_known_epoch_a_change_of_emission_is_the_sign():
    old = at(1, last_epoch=0)
    assert not epoch_passed(None, old)
    assert not epoch_passed(old, at(2, last_epoch=0))
    assert epoch_passed(old, at(2, last_epoch=0, emission=1.0))


async def test_a_subscriber_that_fails_harms_nobody(lines):
    watch, *_ = watch_of(at(1))
    seen = []
    watch.on_snapshot(lambda s: 1 / 0)
    watch.on_snapshot(seen.append)
    assert await watch.refresh()
    assert len(seen) == 1
    assert sum("subscriber" in line for line in lines) == 1


async def test_a_node_that_refuses_the_subnet_is_left_for_the_next():
    watch, chain, _ = watch_of(ChainRefused("SubnetNotExists"))
    await watch.refresh()
    assert chain.rotated == 1


async def test_a_node_that_stands_still_is_left_for_the_next():
    watch, chain, time = watch_of(at(5))
    await watch.refresh()
    time.now += 170
    assert await watch.refresh()
    time.now += 20  # 190 s at 12 s a block: over 15 blocks without one
    assert not await watch.refresh()
    assert (watch.state, chain.rotated) == ("stale", 1)


async def test_a_node_that_lags_behind_does_not_turn_back_the_clock():
    watch, chain, _ = watch_of(at(9), at(7), at(10))
    for _ in range(2):
        await watch.refresh()
    assert (watch.snapshot.block, watch.state, chain.rotated) == (9, "stale", 1)
    await watch.refresh()
    assert (watch.snapshot.block, watch.state) == (10, "ok")


async def test_waiting_for_the_first_and_for_the_next_snapshot():
    watch, *_ = watch_of(at(1), at(2))
    first = asyncio.create_task(watch.first())
    await asyncio.sleep(0)
    await watch.refresh()
    assert (await first).block == 1
    following = asyncio.create_task(watch.following())
    await asyncio.sleep(0)
    assert not following.done()
    await watch.refresh()
    assert (await following).block == 2

"""Keeps the newest good snapshot of the subnet, says how old it is, and tells others what changed."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from loguru import logger

from miner.chain.errors import ChainDown, ChainRefused
from miner.chain.snapshot import Neuron, Snapshot
from miner.rewards.onchain import Payout, payout
from miner.settings import Subtensor

T = TypeVar("T")
STARTING, OK, STALE, DOWN, DEREGISTERED = "starting", "ok", "stale", "down", "deregistered"
DOWN_AFTER_S = 1800.0
"""A snapshot older than this is called down rather than stale. It is served from all the same."""
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 60.0
STUCK_BLOCKS = 15
"""A node whose head has not moved for the time of this many blocks is no good, though it answers."""


class Source(Protocol):
    """What is watched: `Chain`."""

    async def snapshot(self) -> Snapshot: ...

    async def rotate(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ChainStatus:
    """For status, metrics and health.

    `state`     "starting" (no answer yet, not failed either), "ok", "stale" (the last refresh failed; serving
                from the last good snapshot), "down" (never answered, or not for half an hour) or
                "deregistered" (a fresh snapshot says that our hotkey is not on the subnet).
    `age_s`     seconds since the last good snapshot; None before the first.
    `failures`  refreshes failed in a row.
    """

    state: str
    reason: str
    age_s: float | None
    block: int | None
    uid: int | None
    failures: int


class ChainWatch:
    """Refreshes on a timer, with jittered exponential backoff after failures.

    Subscribers are plain functions called on the event loop, in order: those of `on_snapshot` with every new
    snapshot, of `on_payout` with our row of every new epoch (once more after a restart: its key is epoch and
    hotkey), of `on_event` with (kind, data) for "chain_state" and "uid" changes. One that raises is logged
    and harms nobody. `snapshot` is replaced in one assignment: readers need no lock.
    """

    def __init__(
        self,
        chain: Source,
        hotkey: str,
        subtensor: Subtensor,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.hotkey = hotkey
        self.snapshot: Snapshot | None = None
        self._chain, self._refresh_s = chain, subtensor.refresh_s
        self._clock, self._sleep, self._jitter = clock, sleep, jitter
        self._state, self._reason, self._failures = STARTING, "", 0
        self._taken_at = self._moved_at = clock()
        self._arrived = asyncio.Event()
        self._snapshots: list[Callable[[Snapshot], object]] = []
        self._payouts: list[Callable[[Payout], object]] = []
        self._events: list[Callable[[str, Mapping[str, Any]], object]] = []

    def on_snapshot(self, callback: Callable[[Snapshot], object]) -> None:
        self._snapshots.append(callback)

    def on_payout(self, callback: Callable[[Payout], object]) -> None:
        self._payouts.append(callback)

    def on_event(self, callback: Callable[[str, Mapping[str, Any]], object]) -> None:
        self._events.append(callback)

    @property
    def age_s(self) -> float | None:
        """Seconds since the last good snapshot; None before the first."""
        return None if self.snapshot is None else self._clock() - self._taken_at

    @property
    def neuron(self) -> Neuron | None:
        """Our row in the last good snapshot."""
        return None if self.snapshot is None else self.snapshot.by_hotkey.get(self.hotkey)

    @property
    def state(self) -> str:
        return self._state

    def status(self) -> ChainStatus:
        block = None if self.snapshot is None else self.snapshot.block
        uid = None if self.neuron is None else self.neuron.uid
        return ChainStatus(self._state, self._reason, self.age_s, block, uid, self._failures)

    async def first(self) -> Snapshot:
        """Wait for the first good snapshot."""
        return self.snapshot or await self.following()

    async def following(self) -> Snapshot:
        """Wait for the next good snapshot."""
        await self._arrived.wait()
        assert self.snapshot is not None
        return self.snapshot

    async def run(self) -> None:
        """Refresh for ever."""
        while True:
            await self.refresh()
            await self._sleep(self._pause())

    def _pause(self) -> float:
        if self._failures == 0:
            return self._refresh_s * self._jitter(0.9, 1.1)
        backoff = min(FIRST_RETRY_S * 2.0 ** min(self._failures - 1, 16), LAST_RETRY_S)
        return backoff * self._jitter(0.5, 1.5)

    async def refresh(self) -> bool:
        """Try to take one snapshot; whether it worked."""
        try:
            snapshot = await self._chain.snapshot()
        except ChainDown as error:  # the adapter has turned to its next endpoint
            return self._failed(str(error))
        except ChainRefused as error:
            await self._chain.rotate()
            return self._failed(str(error))
        if objection := self._objection(snapshot):
            await self._chain.rotate()
            return self._failed(objection)
        self._accept(snapshot)
        return True

    def _objection(self, new: Snapshot) -> str | None:
        """Why a snapshot is no news: its node lags behind, or its head has not moved for long."""
        old = self.snapshot
        if old is None or new.block > old.block:
            self._moved_at = self._clock()
            return None
        still_s = self._clock() - self._moved_at
        if new.block < old.block and still_s < DOWN_AFTER_S:
            return f"the node is {old.block - new.block} blocks behind"
        if still_s > STUCK_BLOCKS * new.block_s:
            return f"the node's head is stuck at block {new.block}"
        return None

    def _failed(self, reason: str) -> bool:
        self._failures += 1
        age = self.age_s
        self._become(DOWN if age is None or age > DOWN_AFTER_S else STALE, reason)
        return False

    def _accept(self, new: Snapshot) -> None:
        old, self.snapshot = self.snapshot, new
        self._taken_at, self._failures = self._clock(), 0
        self._say_uid(old, new)
        if self.neuron is None:
            self._become(DEREGISTERED, f"hotkey {self.hotkey} is not registered on subnet {new.netuid}")
        else:
            self._become(OK, "")
        self._tell(self._snapshots, lambda callback: callback(new))
        self._pay(old, new)
        self._arrived.set()  # wakes who waits now; who comes later waits for the next
        self._arrived.clear()

    def _say_uid(self, old: Snapshot | None, new: Snapshot) -> None:
        was = None if old is None else old.uid_of(self.hotkey)
        uid = new.uid_of(self.hotkey)
        if uid == was:
            return
        if uid is not None:
            logger.info(
                "chain: our uid on subnet {} is {}{}", new.netuid, uid, "" if was is None else f", was {was}"
            )
        self._emit("uid", {"uid": uid, "was": was})

    def _pay(self, old: Snapshot | None, new: Snapshot) -> None:
        row = payout(new, self.hotkey)
        if row is not None and epoch_passed(old, new):
            self._tell(self._payouts, lambda callback: callback(row))

    def _become(self, state: str, reason: str) -> None:
        """Say a change of state once, however many retries confirm it."""
        was, self._state, self._reason = self._state, state, reason
        if state == was:
            return
        level, text = _SENTENCES[state]
        block = "none yet" if self.snapshot is None else f"block {self.snapshot.block}"
        logger.log(level, text, reason=reason, block=block, age=self.age_s or 0.0)
        self._emit("chain_state", {"state": state, "was": was, "reason": reason})

    def _emit(self, kind: str, data: Mapping[str, Any]) -> None:
        self._tell(self._events, lambda callback: callback(kind, data))

    def _tell(self, callbacks: list[T], call: Callable[[T], object]) -> None:
        for callback in callbacks:
            try:
                call(callback)
            except Exception:  # noqa: BLE001 a subscriber's fault is its own
                logger.exception("chain: a subscriber failed")


_SENTENCES = {
    OK: ("INFO", "chain: in step at {block}"),
    STALE: ("WARNING", "chain: no answer ({reason}); serving from {block}, taken {age:.0f} s ago"),
    DOWN: ("ERROR", "chain: down ({reason}); retrying, the last good snapshot: {block}"),
    DEREGISTERED: ("ERROR", "chain: {reason}; answering nobody until it is registered again"),
}


def epoch_passed(old: Snapshot | None, new: Snapshot) -> bool:
    """Whether an epoch ran between two snapshots; true for a first snapshot that knows of one.

    Where the chain does not say when its last epoch was, a change of anybody's emission is the sign.
    """
    if old is None:
        return new.last_epoch > 0
    if new.last_epoch or old.last_epoch:
        return new.last_epoch > old.last_epoch
    return {n.hotkey: n.emission for n in old.neurons} != {n.hotkey: n.emission for n in new.neurons}

"""Requests that wait for a tier: who goes next, together with whom, and who has waited too long.

A pure data structure: no lock, no clock. Order: our hotkeys take turns, each by arrival, where stake buys a
bounded head start, as long as nobody misses a deadline by it; else earliest deadline first. What can no
longer be answered in time goes last. Whoever has a priority below 0 waits until nobody else does."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Generic, TypeVar

T = TypeVar("T")
_rank, _deadline = attrgetter("rank"), attrgetter("deadline")

HEAD_START_S = 0.1
"""Seconds of head start per factor e of priority: 10,000 alpha go before whoever arrived up to 0.9 s
earlier."""

MOST_HEAD_START_S = 1.5
"""The starvation bound: nobody is overtaken for its stake by a request that arrived later than this."""


@dataclass(frozen=True, slots=True)
class Waiting(Generic[T]):
    """One request in the queue. `deadline` and `arrived` in monotonic seconds; `size` images it adds to a
    batch, `group` whose it is: groups take turns."""

    key: Hashable
    item: T
    deadline: float
    arrived: float
    priority: float = 0.0
    size: int = 1
    group: Hashable = None
    rank: float = field(init=False)
    """Arrival less the head start, in seconds: smaller goes first. It ages by itself, since time moves on."""

    def __post_init__(self) -> None:
        head_start = min(MOST_HEAD_START_S, HEAD_START_S * math.log1p(max(0.0, self.priority)))
        object.__setattr__(self, "rank", self.arrived - head_start)


class DeadlineQueue(Generic[T]):
    """`cost(n)` predicts the seconds of a batch of n images; it must not fall with n.

    Whatever was put in comes out exactly once: by `take`, `expire` or `discard`.
    """

    def __init__(self, cost: Callable[[int], float]) -> None:
        self._cost = cost
        self._waiting: dict[Hashable, Waiting[T]] = {}
        self._groups: Counter[Hashable] = Counter()  # that wait
        self._turns: Counter[Hashable] = Counter()  # had by each group that waits

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, waiting: Waiting[T]) -> None:
        """Raises ValueError when the key waits already."""
        if waiting.key in self._waiting:
            raise ValueError(f"{waiting.key!r} waits already")
        self._waiting[waiting.key] = waiting
        if not self._groups[waiting.group]:  # a newcomer: it has no turns to catch up on
            self._turns[waiting.group] = min(self._turns.values(), default=0)
        self._groups[waiting.group] += 1

    def discard(self, key: Hashable) -> T | None:
        """Take one out, whoever's turn it is; None when it does not wait here."""
        return self._out(key).item if key in self._waiting else None

    def expire(self, now: float) -> list[T]:
        """Take out what is past its deadline."""
        late = [waiting for waiting in self._waiting.values() if waiting.deadline <= now]
        return self._remove(late)

    def take(self, most: int, now: float) -> list[T]:
        """The next micro-batch: at most `most` images, but at least one request unless all have expired."""
        live = [waiting for waiting in self._waiting.values() if waiting.deadline > now]
        live = [waiting for waiting in live if waiting.priority >= 0] or live
        if len(live) < 2:
            return self._remove(live)
        chosen = self._choose(live, most, now)
        for waiting in chosen:
            self._turns[waiting.group] += 1
        return self._remove(chosen)

    def _choose(self, live: list[Waiting[T]], most: int, now: float) -> Sequence[Waiting[T]]:
        soonest = now + self._cost(1)
        able = self._by_turns(sorted((w for w in live if w.deadline >= soonest), key=_rank))
        if not able:
            return self._fill(sorted(live, key=_rank), most, now)
        favoured = self._fill(able, most, now)
        if not self._pressed(able, most, now):
            return favoured
        urgent = sorted(able, key=_deadline)
        chosen = {waiting.key for waiting in favoured}
        after = [*favoured, *(w for w in urgent if w.key not in chosen)]
        if self._misses(after, most, now) <= self._misses(urgent, most, now):
            return favoured
        return self._fill(urgent, most, now)

    def _by_turns(self, ranked: Sequence[Waiting[T]]) -> list[Waiting[T]]:
        """Whoever asks much does not push back whoever asks little: the next of every group, then the one
        after it, where groups that have had fewer turns come first. One group alone stays as it is."""
        if len(self._groups) == 1:
            return list(ranked)
        turns = Counter(self._turns)
        order: list[tuple[int, int]] = []
        for place, waiting in enumerate(ranked):
            order.append((turns[waiting.group], place))
            turns[waiting.group] += 1
        return [ranked[place] for _, place in sorted(order)]

    def _fill(self, order: Sequence[Waiting[T]], most: int, now: float) -> Sequence[Waiting[T]]:
        """The longest prefix of `order` that makes a batch which finishes before its tightest deadline."""
        size, tightest = order[0].size, order[0].deadline
        for count, waiting in enumerate(order[1:], start=1):
            size, tightest = size + waiting.size, min(tightest, waiting.deadline)
            if size > most or now + self._cost(size) > tightest:
                return order[:count]
        return order

    def _pressed(self, able: Iterable[Waiting[T]], most: int, now: float) -> bool:
        """Whether the order matters: somebody's deadline comes before all of this could be done."""
        sizes, first = 0, math.inf
        for waiting in able:
            sizes, first = sizes + waiting.size, min(first, waiting.deadline)
        return now + self._cost(most) * math.ceil(sizes / most) > first

    def _misses(self, order: Sequence[Waiting[T]], most: int, now: float) -> int:
        """How many would miss their deadline if they were served in this order."""
        missed = 0
        while order:
            batch = self._fill(order, most, now)
            now += self._cost(sum(waiting.size for waiting in batch))
            missed += sum(waiting.deadline < now for waiting in batch)
            order = order[len(batch) :]
        return missed

    def _remove(self, chosen: Iterable[Waiting[T]]) -> list[T]:
        return [self._out(waiting.key).item for waiting in chosen]

    def _out(self, key: Hashable) -> Waiting[T]:
        waiting = self._waiting.pop(key)
        self._groups[waiting.group] -= 1
        if not self._groups[waiting.group]:
            del self._groups[waiting.group], self._turns[waiting.group]
        return waiting

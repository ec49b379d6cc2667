"""No signed request is taken twice, in bounded memory and without a disk.

Every accepted (hotkey, session, nonce) is remembered exactly while its nonce is fresh; a nonce that has been
forgotten is never fresh again. Concurrent requests may arrive in any order, unlike with the stock Axon's
"last nonce" rule. Session and nonce are remembered by their hash, which takes less than half of their memory:
an honest request that shares one with another of its caller's is refused, once in 10^15 of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from miner.wire.synapse import Rejected

SECOND = 1_000_000_000
WRONG_NS = 60 * SECOND
"""A clock that is set back by more than this since our start was plainly wrong then."""
_NOBODY: Mapping[str, set[int]] = {}


class ReplayWindow:
    """Nonces are wall-clock nanoseconds since 1970. Fresh: at most `max_age_s` old and `max_ahead_s` ahead.

    A predecessor of this process may have accepted anything up to its own end plus `max_ahead_s`; so for the
    first `max_ahead_s` after the start nothing signed before is taken, and no disk is needed. When the clock
    is set back by more than a minute the start moves with it: a miner that was started with a clock an hour
    ahead would otherwise refuse everybody for an hour after it was set right, or until it was restarted,
    which forgets as much.

    `per_caller` entries of one hotkey and `entries` altogether: past either, the *arriving* hotkey's oldest
    second is forgotten and that hotkey's own floor rises above it. Nobody can push out what another hotkey
    has sent.
    """

    def __init__(
        self,
        max_age_s: float,
        max_ahead_s: float,
        *,
        per_caller: int = 4096,
        entries: int = 131_072,
        callers: int = 4096,
        clock: Callable[[], int] = time.time_ns,
        uptime: Callable[[], float] = time.monotonic,
    ) -> None:
        self._age = int(max_age_s * SECOND)
        self._ahead = int(max_ahead_s * SECOND)
        self._per_caller = per_caller
        self._entries = entries
        self._callers = callers
        self._clock = clock
        self._start = clock() + self._ahead
        self._uptime, self._born = uptime, uptime()
        self._forgotten = 0  # every nonce up to here may have been forgotten by age
        self._slots: dict[int, dict[str, set[int]]] = {}  # second of the nonce -> hotkey -> entries
        self._held: dict[str, int] = {}  # hotkey -> entries in all slots
        self._floors: dict[
            str, int
        ] = {}  # hotkey -> every nonce up to here may have been forgotten for lack of room
        self._total = 0
        self._swept = 0

    def __len__(self) -> int:
        return self._total

    @property
    def callers(self) -> int:
        """Room for hotkeys taken: one for each that holds entries, one for each risen floor."""
        return len(self._held) + len(self._floors)

    def check(self, hotkey: str, session: str, nonce: int) -> None:
        """Raise Rejected unless the nonce is fresh and unseen. Changes nothing: safe before the signature."""
        now = self._clock()
        if nonce < now - self._age or nonce <= self._forgotten:
            raise Rejected("stale")
        if nonce > now + self._ahead:
            raise Rejected("future")
        if nonce <= self._start and nonce <= self._floor(now):
            raise Rejected("restart")
        taken = self._slots.get(nonce // SECOND, _NOBODY).get(hotkey, ())
        if nonce <= self._floors.get(hotkey, 0) or hash((session, nonce)) in taken:
            raise Rejected("replay")

    def remember(self, hotkey: str, session: str, nonce: int, *, checked: bool = False) -> None:
        """Check again and take the nonce. Only for requests whose signature has verified. Raises Rejected.

        `checked`: nothing was awaited since `check`, so that its word holds."""
        self._sweep()
        if not checked:
            self.check(hotkey, session, nonce)
        self._make_room(hotkey, nonce)
        slot = self._slots.setdefault(nonce // SECOND, {})
        slot.setdefault(hotkey, set()).add(hash((session, nonce)))
        self._held[hotkey] = self._held.get(hotkey, 0) + 1
        self._total += 1

    def _floor(self, now: int) -> int:
        """Every nonce up to here may have been taken by a predecessor: our start, or before it."""
        by_now = now - int((self._uptime() - self._born) * SECOND) + self._ahead
        return by_now if self._start - by_now > WRONG_NS else self._start

    def _sweep(self) -> None:
        """Forget whole seconds that are stale. Once a second, so each entry is paid for once."""
        limit = (self._clock() - self._age) // SECOND  # seconds before this one hold only stale nonces
        if limit == self._swept:
            return
        self._swept = limit
        for second in [second for second in self._slots if second < limit]:
            self._forgotten = max(self._forgotten, (second + 1) * SECOND - 1)
            for hotkey in list(self._slots[second]):
                self._drop(second, hotkey)
        if self._floors:
            self._floors = {key: floor for key, floor in self._floors.items() if floor >= limit * SECOND}

    def _drop(self, second: int, hotkey: str) -> None:
        slot = self._slots[second]
        count = len(slot.pop(hotkey))
        if not slot:
            del self._slots[second]
        self._total -= count
        self._held[hotkey] -= count
        if not self._held[hotkey]:
            del self._held[hotkey]

    def _make_room(self, hotkey: str, nonce: int) -> None:
        held = self._held.get(hotkey, 0)
        if held >= self._per_caller or (held and self._total >= self._entries):
            self._raise_floor(hotkey)
            if nonce <= self._floors[hotkey]:
                raise Rejected("callers")
        elif not held and (self._total >= self._entries or self.callers >= self._callers):
            raise Rejected("callers")

    def _raise_floor(self, hotkey: str) -> None:
        oldest = min(second for second, slot in self._slots.items() if hotkey in slot)
        self._drop(oldest, hotkey)
        self._floors[hotkey] = max(self._floors.get(hotkey, 0), (oldest + 1) * SECOND - 1)

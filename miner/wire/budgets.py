"""Token buckets in bounded memory: what one address or one caller may spend."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address


class TokenBuckets:
    """One bucket per key: `burst` tokens, refilled at `rate` per second. At most `keep` keys, LRU out.

    A key that was forgotten starts full again, so `keep` bounds memory and not how much one key may spend:
    only somebody with more than `keep` keys gains anything, and such a somebody has that many budgets anyway.
    """

    def __init__(
        self, rate: float, burst: float, *, keep: int = 16_384, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._keep = keep
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def left(self, key: str) -> bool:
        """Whether there is a token to take."""
        return key not in self._buckets or self._filled(key, self._clock()) >= 1.0

    def take(self, key: str) -> bool:
        """Spend one token; False when there is none left."""
        now = self._clock()
        tokens = self._filled(key, now)
        paid = tokens >= 1.0
        buckets = self._buckets
        buckets[key] = (tokens - 1.0 if paid else tokens, now)  # a debtor too, or it would start full
        buckets.move_to_end(key)
        if len(buckets) > self._keep:
            buckets.popitem(last=False)
        return paid

    def give_back(self, key: str) -> None:
        """Undo one `take`, as when what it paid for turned out to be honest."""
        bucket = self._buckets.get(key)
        if bucket is None:
            return
        tokens, since = bucket
        if tokens + 1.0 >= self._burst:
            del self._buckets[key]
        else:
            self._buckets[key] = (tokens + 1.0, since)

    def _filled(self, key: str, now: float) -> float:
        """Tokens there are now."""
        bucket = self._buckets.get(key)
        if bucket is None:
            return self._burst
        tokens, since = bucket
        return min(self._burst, tokens + max(0.0, now - since) * self._rate)


@lru_cache(maxsize=4096)
def network(address: str) -> str:
    """What shares one budget: an IPv4 address, or an IPv6 /64, since that is what one host is given.

    IPv4 addresses that arrive on a dual-stack socket ("::ffff:1.2.3.4") count as IPv4. Text that is no
    address (a unix socket's peer, a test's client) is a network of its own.
    """
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return str(ip)
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return f"{IPv6Address(int(ip) >> 64 << 64)}/64"

"""What is kept at the moment, in memory, and what has to go for the bounds to hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from miner.ledger.kept import Kept

DAY_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class Bounds:
    """Most `bytes` and `count` of all pictures, at any moment; `days` an unlabelled one may grow old,
    `gold_days` one with a label by people."""

    bytes: int
    count: int
    days: float
    gold_days: float


@dataclass(frozen=True, slots=True)
class Entry:
    """`at_ns` when it was sent, `size` in bytes, `mark` its fingerprint."""

    at_ns: int
    size: int
    mark: int


class Shelf:
    """Entries by sha256 with their sum of bytes. One thread changes it."""

    def __init__(self, rows: Iterable[Kept] = ()) -> None:
        self._entries = {row.sha256: Entry(row.at_ns, row.size, row.mark) for row in rows}
        self.bytes = sum(entry.size for entry in self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._entries

    @property
    def names(self) -> set[str]:
        return set(self._entries)

    @property
    def oldest_ns(self) -> int | None:
        return min((entry.at_ns for entry in tuple(self._entries.values())), default=None)

    def put(self, sha256: str, entry: Entry) -> None:
        """Of a picture that is not on it."""
        self._entries[sha256] = entry
        self.bytes += entry.size

    def drop(self, sha256: str) -> Entry:
        """Raises KeyError when it is not on it."""
        entry = self._entries.pop(sha256)
        self.bytes -= entry.size
        return entry

    def alike(self, mark: int, bits: int) -> bool:
        """Whether a kept picture's fingerprint differs in `bits` bits or fewer."""
        return any((entry.mark ^ mark).bit_count() <= bits for entry in self._entries.values())

    def full(self, bounds: Bounds, *, more: int, size: int) -> bool:
        """Whether `more` pictures of `size` bytes together would break a bound."""
        return len(self) + more > bounds.count or self.bytes + size > bounds.bytes

    def victims(self, bounds: Bounds, gold: set[str], *, more: int, size: int) -> list[str]:
        """What has to go so that `more` pictures of `size` bytes together fit: oldest first, gold last.
        Everything, when not even that is enough."""
        count, held = len(self) + more - bounds.count, self.bytes + size - bounds.bytes
        found: list[str] = []
        for sha256, entry in sorted(
            self._entries.items(), key=lambda each: (each[0] in gold, each[1].at_ns, each[0])
        ):
            if count <= 0 and held <= 0:
                break
            found.append(sha256)
            count, held = count - 1, held - entry.size
        return found

    def expired(self, bounds: Bounds, now_ns: int, gold: set[str]) -> list[str]:
        """What has become too old."""
        young, young_gold = (now_ns - int(days * DAY_NS) for days in (bounds.days, bounds.gold_days))
        return [
            sha256
            for sha256, entry in self._entries.items()
            if entry.at_ns < (young_gold if sha256 in gold else young)
        ]

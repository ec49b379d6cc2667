"""Which requests a child has in its hands, in memory that outlives it: after a crash it says who may be to
blame."""

from __future__ import annotations

import mmap
import os
import struct
import sys
import tempfile
from collections.abc import Sequence
from typing import IO

_NUMBER = struct.Struct("=Q")


class BlackBox:
    """`slots` numbers in a file that both processes map; 0 is nobody. Writers own their slots, so no lock is
    needed."""

    def __init__(self, file: IO[bytes], slots: int) -> None:
        self._file = file
        self._slots = slots
        self._map = mmap.mmap(file.fileno(), slots * _NUMBER.size)

    @classmethod
    def create(cls, slots: int) -> BlackBox:
        file = _memory()
        file.truncate(slots * _NUMBER.size)
        return cls(file, slots)

    @property
    def fd(self) -> int:
        """To be inherited by the child, which opens the box with `BlackBox(os.fdopen(fd, "r+b"), slots)`."""
        return self._file.fileno()

    def mark(self, first: int, count: int, numbers: Sequence[int]) -> None:
        """Slots `first` to `first + count` now hold these numbers and nothing else; what does not fit is
        left out."""
        held = [*numbers[:count], *[0] * (count - len(numbers))]
        struct.pack_into(f"={count}Q", self._map, first * _NUMBER.size, *held)

    def clear(self) -> None:
        self.mark(0, self._slots, [])

    def read(self) -> set[int]:
        """Everybody who is in a slot now."""
        return set(struct.unpack_from(f"={self._slots}Q", self._map)) - {0}

    def close(self) -> None:
        self._map.close()
        self._file.close()


def _memory() -> IO[bytes]:
    """A file that is on no disk where the system has such: writing through a map to a full disk kills."""
    if sys.platform == "linux":
        return os.fdopen(os.memfd_create("engine-blackbox"), "r+b")
    return tempfile.TemporaryFile()

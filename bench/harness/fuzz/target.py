"""What every fuzz target has in common."""

from __future__ import annotations

from random import Random
from typing import Protocol


class Finding(Exception):
    """The program did what it must never do; the message says what. Any other exception is one as well."""


class Target(Protocol):
    """Cases are bytes, so that one that breaks something can be kept as a file."""

    def case(self, rng: Random, number: int) -> bytes:
        """Input `number` of a run; the same for the same state of `rng`, but for signatures in it."""
        ...

    def judge(self, case: bytes) -> str:
        """What became of it, in a word. Raises Finding, or whatever the program let through."""
        ...

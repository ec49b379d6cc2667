"""Guess and check: the greedy answer of a model in fewer of its passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from models.compress.interface import Reader


class Draft(Protocol):
    """A guesser of words."""

    def propose(self, said: Sequence[int], most: int) -> list[int]:
        """At most `most` tokens that may follow `said` (the answer so far, at least one); [] to pass."""
        ...


@dataclass(frozen=True)
class Told:
    """An answer: its `tokens`, an end mark included where it came; how many were `proposed` and `accepted`;
    `passes` of the model after its prefill."""

    tokens: list[int]
    proposed: int
    accepted: int
    passes: int


def speculate(reader: Reader, draft: Draft, most: int, gamma: int = 4) -> Told:
    """The greedy answer of at most `most` tokens, `gamma` guessed at a time (0: none, plain decoding)."""
    said = [int(reader.first.argmax())]
    proposed = accepted = passes = 0
    while len(said) < most and said[-1] not in reader.end:
        room = min(gamma, most - len(said) - 1)
        guess = draft.propose(said, room)[:room] if room > 0 else []
        begin = reader.length
        best = reader.extend([said[-1], *guess]).argmax(-1).tolist()
        agreed = _agreed(guess, best)
        reader.crop(begin + 1 + agreed)
        said += _until_end(best[: agreed + 1], reader.end)
        proposed, accepted, passes = proposed + len(guess), accepted + agreed, passes + 1
    return Told(said, proposed, accepted, passes)


def _agreed(guess: Sequence[int], best: Sequence[int]) -> int:
    """How many guesses from the first on are what the model says itself."""
    for place, (guessed, right) in enumerate(zip(guess, best, strict=False)):
        if guessed != right:
            return place
    return len(guess)


def _until_end(tokens: list[int], end: frozenset[int]) -> list[int]:
    for place, token in enumerate(tokens):
        if token in end:
            return tokens[: place + 1]
    return tokens

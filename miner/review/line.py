"""Which pictures wait for a person, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from miner.capture.policy import AUDIT, in_words
from miner.ledger.kept import Waiting, waiting

AUDIT_EVERY = 4
"""Every so many places one of the random audit: a figure from hard cases alone says nothing about all."""


@dataclass(frozen=True, slots=True)
class Item:
    """One picture to look at. `at` when it was sent, seconds since 1970; `reason` why it was kept, in words;
    `prediction` what was answered; `propensity` the probability with which it was kept."""

    sha256: str
    prediction: float | None
    reason: str
    at: float
    propensity: float


def line(path: Path, limit: int, reviewer: str = "", reviewers: int = 1) -> tuple[list[Item], int]:
    """The first `limit` pictures for this reviewer, and how many wait in all. Raises LedgerUnreadable.

    Hardest first (smallest |log-odds|), with the audit's oldest in between. Left out is what the reviewer has
    seen, what `reviewers` persons have seen, and what has a truth from elsewhere; what one has seen comes
    first where more are asked for.
    """
    found = waiting(path, reviewer, reviewers)
    return [_item(one) for one in islice(_ordered(found), limit)], len(found)


def _ordered(waiting: Sequence[Waiting]) -> Iterable[Waiting]:
    def hardness(one: Waiting) -> tuple[bool, float]:
        return not one.begun, abs(one.log_odds or 0.0)

    audits = iter([one for one in waiting if AUDIT in one.reason.split(",")])
    hard = iter(sorted(waiting, key=hardness))
    told: set[str] = set()
    for place in range(1, len(waiting) + 1):
        first, other = (audits, hard) if place % AUDIT_EVERY == 0 else (hard, audits)
        found = _next(first, told) or _next(other, told)
        if found is not None:
            told.add(found.sha256)
            yield found


def _next(source: Iterator[Waiting], told: set[str]) -> Waiting | None:
    return next((one for one in source if one.sha256 not in told), None)


def _item(one: Waiting) -> Item:
    return Item(one.sha256, one.prediction, in_words(one.reason), one.at_ns / 1e9, one.propensity)


def as_json(found: tuple[list[Item], int]) -> dict[str, Any]:
    """What `review_next` answers."""
    return {"items": [asdict(item) for item in found[0]], "waiting": found[1]}

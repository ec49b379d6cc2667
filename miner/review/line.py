"""Which pictures wait for a person, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from miner.capture.policy import AUDIT, in_words
from miner.ledger.kept import Kept, kept
from miner.ledger.labels import PSEUDO, REVIEW, Label, by_picture, labels

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
    given = by_picture(labels(path))
    waiting = [one for one in kept(path) if _waits(given.get(one.sha256, ()), reviewer, reviewers)]
    return [_item(one) for one in islice(_ordered(waiting, given), limit)], len(waiting)


def _waits(given: Sequence[Label], reviewer: str, reviewers: int) -> bool:
    if any(one.source not in (REVIEW, PSEUDO) for one in given):
        return False
    seen_by = {one.reviewer for one in given if one.source == REVIEW}
    return reviewer not in seen_by and len(seen_by) < reviewers


def _ordered(waiting: Sequence[Kept], given: dict[str, list[Label]]) -> Iterable[Kept]:
    def hardness(one: Kept) -> tuple[bool, float]:
        begun = any(label.source == REVIEW for label in given.get(one.sha256, ()))
        return not begun, abs(one.log_odds or 0.0)

    audits = iter([one for one in waiting if AUDIT in one.reason.split(",")])
    hard = iter(sorted(waiting, key=hardness))
    told: set[str] = set()
    for place in range(1, len(waiting) + 1):
        first, other = (audits, hard) if place % AUDIT_EVERY == 0 else (hard, audits)
        found = _next(first, told) or _next(other, told)
        if found is not None:
            told.add(found.sha256)
            yield found


def _next(source: Iterator[Kept], told: set[str]) -> Kept | None:
    return next((one for one in source if one.sha256 not in told), None)


def _item(one: Kept) -> Item:
    return Item(one.sha256, one.prediction, in_words(one.reason), one.at_ns / 1e9, one.propensity)


def as_json(found: tuple[list[Item], int]) -> dict[str, Any]:
    """What `review_next` answers."""
    return {"items": [asdict(item) for item in found[0]], "waiting": found[1]}

"""What leaving the cascade early has cost: from the exits that were audited, everybody having been asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from miner.ledger.reader import Judged
from models import audit

CACHED = "cached"
"""Note of an answer given again, which was audited when it was given first."""


@dataclass(frozen=True, slots=True)
class Audited:
    """Of the early exits after one member: `audited` of them, which stand for about `exits` in all; `changed`
    the share of all that everybody together would have answered otherwise, `error` its standard error."""

    audited: int
    exits: int
    changed: float
    error: float


def audits(answered: Sequence[Judged]) -> dict[str, Audited]:
    """By the member after which the cascade would have been left, in the order they come up."""
    losses: dict[str, list[tuple[float, float]]] = {}
    for one in answered:
        found = audit.read(one.notes)
        if found is not None and one.log_odds is not None and CACHED not in one.notes:
            changed = float(found.roadwork != (one.log_odds > 0))
            losses.setdefault(found.tier, []).append((changed, found.propensity))
    return {tier: _audited(each) for tier, each in losses.items()}


def _audited(losses: Sequence[tuple[float, float]]) -> Audited:
    """Every audited exit stands for 1 / propensity of them, which is also how many there were."""
    exits = round(math.fsum(1 / propensity for _, propensity in losses))
    found = audit.estimate(losses, exits)
    return Audited(found.audited, exits, found.value, found.error)

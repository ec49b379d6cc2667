"""Audited exits: a small random share of early exits asks everybody after all, with its propensity on record.

What is lost by leaving early can then be estimated without bias from the audited ones alone. The coin is a
hash of the request's id, so an audit can be repeated and needs no state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

_PREFIX = "audit"


def coin(id: str, share: float, salt: str = "") -> bool:
    """True for a share `share` in [0, 1] of all ids; the same answer for the same id and salt."""
    digest = blake2b(id.encode(), digest_size=8, key=salt.encode()[:64]).digest()
    return int.from_bytes(digest, "big") < share * 2**64


@dataclass(frozen=True, slots=True)
class Audit:
    """An exit that was not taken. `tier` after which it would have been, `roadwork` the answer it would have
    given, `propensity` the chance with which it was chosen for audit."""

    tier: str
    roadwork: bool
    propensity: float

    def note(self) -> str:
        """For `Verdict.notes`; `read` is the inverse."""
        return f"{_PREFIX}:{self.tier}:{'roadwork' if self.roadwork else 'none'}:{self.propensity!r}"


def read(notes: Sequence[str]) -> Audit | None:
    """The audit among a verdict's notes, if it was audited."""
    for note in notes:
        head, _, rest = note.partition(":")
        if head == _PREFIX and rest.count(":") >= 2:
            tier, answer, propensity = rest.rsplit(":", 2)
            return Audit(tier, answer == "roadwork", float(propensity))
    return None


@dataclass(frozen=True, slots=True)
class Estimate:
    """`value` the mean over all exits; `error` its standard error; `audited` how many rest on it."""

    value: float
    error: float
    audited: int


def estimate(losses: Sequence[tuple[float, float]], exits: int) -> Estimate:
    """Mean loss over `exits` exits (taken and audited ones) from (loss, propensity) of the audited.

    Horvitz-Thompson: sum(loss / propensity) / exits, unbiased whatever the propensities, if each is > 0 and
    was the true one. The error is the design's, that of the coin: sum((1 - p) (loss / p)^2) estimates its
    variance. NaN without exits.
    """
    if not exits:
        return Estimate(math.nan, math.nan, 0)
    if len(losses) > exits or any(not 0 < chance <= 1 for _, chance in losses):
        raise ValueError("audits are among the exits and have a propensity in (0, 1]")
    total = math.fsum(loss / chance for loss, chance in losses)
    spread = math.fsum((1 - chance) * (loss / chance) ** 2 for loss, chance in losses)
    return Estimate(total / exits, math.sqrt(spread) / exits, len(losses))

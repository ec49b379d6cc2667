"""Which answers' pictures are kept, decided from the verdict alone, each with the probability of that.

Every policy that applies throws its own coin, so that the probability of being kept at all is
1 - prod(1 - p). Weighting what was kept by its inverse (D. Horvitz, D. Thompson, 1952) gives unbiased figures
about all answers, because the audit applies to every one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from models.core import Verdict

NEAR, DISAGREE, DRIFT, AUDIT = "near", "disagree", "drift", "audit"
WORDS = {
    NEAR: "near the threshold",
    DISAGREE: "members disagree",
    DRIFT: "the stream has shifted",
    AUDIT: "random audit",
}


@dataclass(frozen=True, slots=True)
class Rates:
    """Probability with which a policy keeps what it applies to, in [0, 1].

    `band`    |log-odds| below which an answer is near the threshold.
    `margin`  two members disagree when one's log-odds are above it and the other's below its negative.
    """

    near: float = 1.0
    disagree: float = 1.0
    drift: float = 0.25
    audit: float = 0.015
    band: float = 1.0
    margin: float = 0.5


@dataclass(frozen=True, slots=True)
class Choice:
    """Why a picture is kept: `reasons` whose coin said so, `policies` all that applied with their
    probabilities, `propensity` in (0, 1] the probability that any of them says so."""

    reasons: tuple[str, ...]
    policies: Mapping[str, float]
    propensity: float


def applying(verdict: Verdict, rates: Rates, *, drifting: bool) -> dict[str, float]:
    """The policies that apply to a verdict by which a model has spoken, with their probabilities."""
    found = {AUDIT: rates.audit}
    if verdict.log_odds is not None and abs(verdict.log_odds) < rates.band:
        found[NEAR] = rates.near
    said = verdict.evidence.values()
    if said and max(said) > rates.margin and min(said) < -rates.margin:
        found[DISAGREE] = rates.disagree
    if drifting:
        found[DRIFT] = rates.drift
    return found


def choose(policies: Mapping[str, float], draw: Callable[[], float]) -> Choice | None:
    """`draw` gives independent numbers, uniform in [0, 1). None when no coin says so."""
    reasons = tuple(name for name, rate in policies.items() if draw() < rate)
    if not reasons:
        return None
    return Choice(reasons, policies, 1.0 - prod(1.0 - rate for rate in policies.values()))


def in_words(reason: str) -> str:
    """The ledger's "near,audit" for people."""
    return ", ".join(WORDS.get(name, name) for name in reason.split(","))

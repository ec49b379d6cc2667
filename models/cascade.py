"""The decision process of one request, as a pure state machine: `step` says whom to ask or what to answer.

No clock, no queue, no thread in here: the engine owns those, feeds back what happened and asks again.
There is no early exit: leaving before the last tier needs a certificate for the operating point, and none
holds one yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from models.calibration import probability
from models.core import NO_PREDICTION, Evidence, Verdict
from models.fusion import fuse


@dataclass(frozen=True, slots=True)
class Ask:
    """The tier to ask now."""

    tier: str


@dataclass(frozen=True, slots=True)
class State:
    """Where one request stands.

    `id`        the request's; `deadline` `time.monotonic()` seconds.
    `remaining` tiers not heard of yet, in the order they are asked; the first one is being asked.
    `evidence`  what was said, in the order it came; `failed` tiers that could not speak.
    """

    id: str
    deadline: float
    remaining: tuple[str, ...]
    evidence: tuple[Evidence, ...] = ()
    failed: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        tiers = (*self.remaining, *self.path, *self.failed)
        if len(set(tiers)) != len(tiers):
            raise ValueError(f"a tier stands in more than one place: {', '.join(tiers)}")

    @property
    def path(self) -> tuple[str, ...]:
        """Tiers in the order they spoke."""
        return tuple(item.tier for item in self.evidence)

    def heard(self, evidence: Evidence) -> State:
        """The state after a tier spoke; one given up as failed may still speak late."""
        return replace(
            self,
            remaining=_without(self.remaining, evidence.tier),
            failed=_without(self.failed, evidence.tier),
            evidence=(*self.evidence, evidence),
        )

    def lost(self, tier: str) -> State:
        """The state after a tier could not speak: absent, not fatal. No effect once it has spoken."""
        if tier not in self.remaining:
            return self
        return replace(self, remaining=_without(self.remaining, tier), failed=(*self.failed, tier))


def step(state: State, now: float) -> Ask | Verdict:
    """Ask the next tier; with none left, or `now` (monotonic seconds) past the deadline, answer."""
    if state.remaining and now < state.deadline:
        return Ask(state.remaining[0])
    return verdict(state)


def verdict(state: State) -> Verdict:
    """What can be said now. Certified is never claimed here; notes say what was cut short or absent."""
    log_odds = fuse(state.evidence)
    return Verdict(
        id=state.id,
        prediction=NO_PREDICTION if log_odds is None else probability(log_odds),
        log_odds=log_odds,
        path=state.path,
        versions={item.tier: item.version for item in state.evidence},
        ms={item.tier: item.cost_ms for item in state.evidence},
        evidence={item.tier: item.log_odds for item in state.evidence},
        notes=(*(["deadline"] if state.remaining else []), *(f"failed:{tier}" for tier in state.failed)),
    )


def _without(tiers: Iterable[str], tier: str) -> tuple[str, ...]:
    return tuple(name for name in tiers if name != tier)

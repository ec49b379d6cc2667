"""The decision process of one request, as a pure state machine: `step` says whom to ask or what to answer.

No clock, no queue, no thread in here: the engine owns those, feeds back what happened and asks again.
Leaving before the last tier needs a certificate for the operating point in the request's `Plan`; without one
everybody is asked. A certificate covers the members in its order and in its versions: once a tier is absent,
comes out of turn or has been swapped, nobody leaves early any more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from models.audit import Audit, coin
from models.calibration import clamp, probability
from models.certify.certificate import Certificate
from models.certify.point import OperatingPoint
from models.compress import spent
from models.core import NO_PREDICTION, Evidence, Verdict
from models.deferral import Deferral
from models.fusion import fuse
from models.recall import correction, notes

Fuse = Callable[[Sequence[Evidence]], float | None]


@dataclass(frozen=True, slots=True)
class Ask:
    """The tier to ask now."""

    tier: str


@dataclass(frozen=True, slots=True)
class Plan:
    """How a configuration decides; the same object for all its requests.

    `fuse`         evidence -> fused log-odds, or None when nobody has spoken.
    `certificate`  one that holds for this configuration (`plan` checks), or None: never leave early.
    `audit`        share of early exits that ask everybody after all; `salt` of that coin.
    `band`         above 0: fused log-odds of this magnitude or more answer without a certificate too.
    `deferral`     picks who is asked next, or that nobody is; None: they are asked in order.
    `prior`        share of the questions that show roadwork, for which `fuse` decides best at 0.
    `source`       file of the certificate, for people.
    """

    fuse: Fuse = fuse
    certificate: Certificate | None = None
    audit: float = 0.0
    salt: str = ""
    band: float = math.inf
    deferral: Deferral | None = None
    prior: float = 0.5
    source: str = ""

    def __post_init__(self) -> None:
        if not self.band > 0:
            raise ValueError(f"the band around 0 within which one goes on must be above 0, not {self.band}")


PLAIN = Plan()
"""Log-odds add up, everybody is asked."""


def plan(
    point: OperatingPoint,
    certificate: Certificate | None,
    *,
    fuse: Fuse = fuse,
    audit: float = 0.01,
    salt: str = "",
) -> tuple[Plan, str | None]:
    """The plan for `point`, and why it leaves nobody early (None when it does).

    A certificate that does not hold for `point`, or allows nothing, is left out.
    """
    if certificate is None:
        return Plan(fuse, None, audit, salt), "no certificate"
    void = certificate.check(point)
    if void is not None:
        return Plan(fuse, None, audit, salt), f"the certificate is void: {void}"
    if certificate.never:
        return Plan(fuse, None, audit, salt), certificate.sentence()
    return Plan(fuse, certificate, audit, salt), None


@dataclass(frozen=True, slots=True)
class State:
    """Where one request stands.

    `id`        the request's; `deadline` `time.monotonic()` seconds.
    `remaining` tiers not heard of yet, in order: the first one is asked next, unless the plan's deferral
                picks another.
    `evidence`  what was said, in the order it came; `failed` tiers that could not speak.
    `plan`      how to decide.
    `scene`     the picture's difficulty (`models.difficulty.picture`), for the deferral; may be empty.
    """

    id: str
    deadline: float
    remaining: tuple[str, ...]
    evidence: tuple[Evidence, ...] = ()
    failed: tuple[str, ...] = field(default=())
    plan: Plan = PLAIN
    scene: Mapping[str, float] = field(default_factory=dict, hash=False)

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

    def skipped(self, tier: str) -> State:
        """The state without a tier that there is no time for: absent through no fault of its own."""
        return replace(self, remaining=_without(self.remaining, tier))


def step(state: State, now: float) -> Ask | Verdict:
    """Ask the next tier; at a certified exit, outside the plan's band, where its deferral asks nobody, with
    none left, or `now` past the deadline, answer."""
    if state.remaining and now < state.deadline and not _leaves(state) and not _settles(state):
        return Ask(_next(state))
    return verdict(state)


def verdict(state: State) -> Verdict:
    """What can be said now, whether a certificate covers it, and what was cut short, absent or audited.

    Certified is an exit that the certificate allows, and the answer of all its members: what deadline or
    failures cut short is not, nor what a memory (`models.recall`) turned over.
    """
    fused = state.plan.fuse(state.evidence)
    moved = 0.0 if fused is None else correction(state.evidence, fused)
    log_odds = clamp(fused + moved) if moved and fused is not None else fused
    leaves = _leaves(state)
    return Verdict(
        id=state.id,
        prediction=NO_PREDICTION if log_odds is None else probability(log_odds),
        log_odds=log_odds,
        path=state.path,
        certified=(leaves or _complete(state)) and not _turned(fused, log_odds),
        versions={item.tier: item.version for item in state.evidence},
        ms={item.tier: item.cost_ms for item in state.evidence},
        evidence={item.tier: item.log_odds for item in state.evidence},
        boxes=tuple(box for item in state.evidence for box in item.boxes),
        notes=(
            *(["deadline"] if state.remaining and not leaves and not _settles(state) else []),
            *(f"failed:{tier}" for tier in state.failed),
            *_audit_notes(state),
            *notes(state.evidence, moved),
            *spent.notes(state.evidence),
        ),
    )


def _turned(before: float | None, after: float | None) -> bool:
    """Whether the answer is now the other one."""
    return before is not None and after is not None and (before > 0) != (after > 0)


def _leaves(state: State) -> bool:
    """Whether the last word heard fires a certified exit, and the request is not audited."""
    found = _exit(state)
    return found is not None and found.heard == len(state.evidence) and not _audited(state)


def _next(state: State) -> str:
    """Who is asked when somebody is: all in order when audited, so that nobody is left out of the audit."""
    if state.plan.deferral is None or _audited(state):
        return state.remaining[0]
    return _offered(state, state.evidence, state.remaining) or state.remaining[0]


def _offered(state: State, said: Sequence[Evidence], alive: Sequence[str]) -> str | None:
    """Whom the plan's deferral asks after `said`; the first in order when there is nothing to go by yet."""
    log_odds = state.plan.fuse(said)
    if state.plan.deferral is None or log_odds is None:
        return alive[0]
    return state.plan.deferral.next(said, log_odds, state.scene, alive)


def _settles(state: State) -> bool:
    """Whether what was said so far lies outside the plan's band, or its deferral asks nobody, and the request
    is not audited."""
    return not _audited(state) and _settled(state) is not None


def _settled(state: State) -> _Fired | None:
    """The first words that were enough while others could still have been asked."""
    return _outside(state) or _deferred(state)


def _outside(state: State) -> _Fired | None:
    """Enough for the plan's band."""
    if math.isinf(state.plan.band):
        return None
    last = len(state.evidence) - (not state.remaining)
    for count, item in enumerate(state.evidence[:last], start=1):
        log_odds = state.plan.fuse(state.evidence[:count])
        if log_odds is not None and abs(log_odds) >= state.plan.band:
            return _Fired(item.tier, count, log_odds)
    return None


def _deferred(state: State) -> _Fired | None:
    """Enough for the plan's deferral, whose choices are followed from the first word on: an audit has asked
    everybody in order, and must tell where the others would have ended."""
    if state.plan.deferral is None or not state.evidence:
        return None
    heard = {item.tier: item for item in state.evidence}
    said, alive = [state.evidence[0]], [*state.path[1:], *state.remaining]
    while alive:
        wanted = _offered(state, said, alive)
        if wanted is None:
            log_odds = state.plan.fuse(said)
            return None if log_odds is None else _Fired(said[-1].tier, len(said), log_odds)
        if wanted not in heard:
            return None
        said.append(heard[wanted])
        alive.remove(wanted)
    return None


def _audited(state: State) -> bool:
    return coin(state.id, state.plan.audit, state.plan.salt)


@dataclass(frozen=True, slots=True)
class _Fired:
    """`heard`: after how many words; `log_odds` what they come to."""

    tier: str
    heard: int
    log_odds: float


def _exit(state: State) -> _Fired | None:
    """The first exit that the evidence fires, as far as it follows the certificate: its members, in its order
    and versions, none left out."""
    certificate = state.plan.certificate
    if certificate is None:
        return None
    for count, (item, exit, member) in enumerate(
        zip(state.evidence, certificate.exits, certificate.point.members, strict=False), start=1
    ):
        if (item.tier, item.version) != (member.name, member.version):
            return None
        log_odds = state.plan.fuse(state.evidence[:count])
        if log_odds is not None and exit.fires(log_odds):
            return _Fired(item.tier, count, log_odds)
    return None


def _complete(state: State) -> bool:
    """Whether every certified member spoke, and nobody else: then there is nothing left to lose."""
    certificate = state.plan.certificate
    if certificate is None or state.remaining or state.failed:
        return False
    wanted = {(member.name, member.version) for member in certificate.point.members}
    return {(item.tier, item.version) for item in state.evidence} == wanted


def _audit_notes(state: State) -> list[str]:
    found = (_exit(state) or _settled(state)) if _audited(state) else None
    return [Audit(found.tier, found.log_odds > 0, state.plan.audit).note()] if found else []


def _without(tiers: Iterable[str], tier: str) -> tuple[str, ...]:
    return tuple(name for name in tiers if name != tier)

"""Whether a challenger may take the champion's place. Numpy only; pure.

Better: both judge the same labelled items, in the order in which the labels came. With s_i = 1 where only the
challenger is right, -1 where only the champion is, 0 otherwise, E_t = mean over l of prod_{i<=t} (1 + l s_i)
is a test martingale of mean at most 1 while the challenger is no better, whatever is looked at in between;
by Ville's inequality it ever reaches 20 with chance 1/20 at most (Waudby-Smith and Ramdas, "Estimating means
of bounded random variables by betting", JRSS B 2024).

Not worse anywhere: per class an upper bound on what is lost, by the interval of Agresti and Min ("Simple
improved confidence intervals for comparing matched proportions", Statistics in Medicine 2005); calibration;
latency; and a frozen set whose labels nobody touches any more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from models.learn.metrics import Flags, Floats, calibration_error

STAKES = (0.1, 0.2, 0.4, 0.6)
"""The l of the e-value: shares of the capital that are bet on each item."""
CLASSES = ("none", "roadwork")


@dataclass(frozen=True, slots=True)
class Paired:
    """n labelled items, each judged by both. `roadwork` (n,) the truth; `champion`, `challenger` (n,) fused
    log-odds, a value above 0 deciding for roadwork. Items in the order in which their labels came."""

    roadwork: Flags
    champion: Floats
    challenger: Floats

    def __post_init__(self) -> None:
        if not len(self.roadwork) == len(self.champion) == len(self.challenger):
            raise ValueError("champion and challenger must have judged the same items")

    def __len__(self) -> int:
        return len(self.roadwork)

    @property
    def finite(self) -> bool:
        """Whether the challenger answered everything with a number."""
        return bool(np.isfinite(self.challenger).all())

    @property
    def gains(self) -> Floats:
        """(n,) s_i in {-1, 0, 1}. A champion's answer that is no number is wrong."""
        before = np.where(np.isfinite(self.champion), (self.champion > 0) == self.roadwork, False)
        after = (self.challenger > 0) == self.roadwork
        found: Floats = after.astype(np.float64) - before
        return found


def nobody() -> Paired:
    """No items at all."""
    return Paired(np.zeros(0, bool), np.zeros(0), np.zeros(0))


@dataclass(frozen=True, slots=True)
class GateEvidence:
    """What is known of a challenger.

    `items`          labelled traffic, never trained on by the challenger.
    `frozen`         the regression set; empty where there is none.
    `champion_ms`, `challenger_ms`   milliseconds of single answers on the same host, measured side by side;
                     empty where nobody measured.
    """

    items: Paired
    frozen: Paired = field(default_factory=nobody)
    champion_ms: tuple[float, ...] = ()
    challenger_ms: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """What must hold.

    `e_value`      least E: 1 over the chance of promoting one that is no better.
    `margin`       most accuracy that a class may have lost, at confidence `confidence` (one-sided).
    `ece`          most by which the expected calibration error may grow.
    `frozen`       most net share of the regression set that may be lost; one item always may.
    `slower`       most by which the 95th percentile of the time may grow, as a factor.
    `deadline_ms`  what no 95th percentile may reach.
    """

    e_value: float = 20.0
    margin: float = 0.03
    confidence: float = 0.95
    ece: float = 0.02
    frozen: float = 0.01
    slower: float = 1.5
    deadline_ms: float = 3000.0


@dataclass(frozen=True, slots=True)
class Decision:
    """`e_value` at the last item; `reasons` sentences for the operator: what failed, or what was shown."""

    promote: bool
    e_value: float
    reasons: tuple[str, ...]


def decide(evidence: GateEvidence, rules: Rules = Rules()) -> Decision:
    """Promote only when everything holds; every rule that fails gives its own reason."""
    for name, paired in (("labelled items", evidence.items), ("the regression set", evidence.frozen)):
        if not paired.finite:
            bad = int((~np.isfinite(paired.challenger)).sum())
            return Decision(False, 0.0, (f"the challenger's answer is no finite number for {bad} of {name}",))
    reached = e_value(evidence.items.gains)
    failed = [
        *_not_better(evidence.items, reached, rules),
        *_worse_class(evidence.items, rules),
        *_worse_calibrated(evidence.items, rules),
        *_forgot(evidence.frozen, rules),
        *_slower(evidence, rules),
    ]
    return Decision(not failed, reached, tuple(failed) or (_shown(evidence.items, reached),))


def e_values(gains: Floats, stakes: tuple[float, ...] = STAKES) -> Floats:
    """(n,) the running E after each of the (n,) gains in {-1, 0, 1}."""
    logs = np.cumsum([np.log1p(stake * gains) for stake in stakes], axis=1)
    top = logs.max(axis=0)
    running: Floats = np.exp(np.minimum(top + np.log(np.exp(logs - top).mean(axis=0)), 700.0))
    return running


def e_value(gains: Floats) -> float:
    """E after all gains; 1 without any."""
    return float(e_values(gains)[-1]) if len(gains) else 1.0


def loss_bound(lost: int, won: int, count: int, confidence: float) -> float:
    """Upper bound, one-sided at `confidence`, on the accuracy lost when of `count` items `lost` turned wrong
    and `won` turned right; 1 without items. Half an item is added to each of the four cells."""
    if not count:
        return 1.0
    n, b, c = count + 2.0, lost + 0.5, won + 0.5
    spread = math.sqrt((b + c - (b - c) ** 2 / n) / n**2)
    return min(1.0, (b - c) / n + _normal_quantile(confidence) * spread)


def _normal_quantile(p: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(p)


def _changes(paired: Paired) -> tuple[int, int]:
    """(turned wrong, turned right)."""
    return int((paired.gains < 0).sum()), int((paired.gains > 0).sum())


def _not_better(items: Paired, reached: float, rules: Rules) -> list[str]:
    if reached >= rules.e_value:
        return []
    lost, won = _changes(items)
    return [
        f"not shown to be better: E {reached:.3g} of {rules.e_value:g}; of {len(items)} labelled items it "
        f"turned {won} right and {lost} wrong"
    ]


def _worse_class(items: Paired, rules: Rules) -> list[str]:
    found = []
    for label, name in enumerate(CLASSES):
        gains = items.gains[items.roadwork == bool(label)]
        lost, won = int((gains < 0).sum()), int((gains > 0).sum())
        bound = loss_bound(lost, won, len(gains), rules.confidence)
        if bound > rules.margin:
            found.append(
                f"may have lost up to {100 * bound:.1f} points on {name} (at most {100 * rules.margin:.1f}): "
                f"{lost} turned wrong and {won} right of {len(gains)}"
            )
    return found


def _worse_calibrated(items: Paired, rules: Rules) -> list[str]:
    if not len(items) or not np.isfinite(items.champion).all():
        return []
    before, after = (
        calibration_error(scores, items.roadwork) for scores in (items.champion, items.challenger)
    )
    if after <= before + rules.ece:
        return []
    return [f"worse calibrated: expected error {after:.3f}, the champion's {before:.3f}"]


def _forgot(frozen: Paired, rules: Rules) -> list[str]:
    lost, won = _changes(frozen)
    if lost - won <= max(1.0, rules.frozen * len(frozen)):
        return []
    return [f"forgot: {lost} turned wrong and {won} right of {len(frozen)} in the regression set"]


def _slower(evidence: GateEvidence, rules: Rules) -> list[str]:
    if not evidence.challenger_ms:
        return []
    times = np.asarray(evidence.challenger_ms)
    if not np.isfinite(times).all():
        return ["its time could not be measured"]
    after = float(np.quantile(times, 0.95))
    if after >= rules.deadline_ms:
        return [f"too slow: 95 of 100 answers within {after:.0f} ms, at most {rules.deadline_ms:.0f}"]
    before = float(np.quantile(evidence.champion_ms, 0.95)) if evidence.champion_ms else math.inf
    if after > rules.slower * before:
        return [
            f"slower: 95 of 100 answers within {after:.0f} ms, the champion's {before:.0f}, "
            f"at most {rules.slower:g} times that"
        ]
    return []


def _shown(items: Paired, reached: float) -> str:
    lost, won = _changes(items)
    return f"better: E {reached:.3g}; of {len(items)} labelled items it turned {won} right and {lost} wrong"

"""Each way to spend test-time compute on a part of the image, against the classifier alone: what it adds per
millisecond, asked always or only where the classifier is unsure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from models.fusion.rows import Floats
from models.learn.cascade.figures import Interval, by_class, difference
from models.learn.zoom.head import Searched, by_fold, calibrated, first_rounds, fit_reward
from models.learn.zoom.looks import PARTS, Looks
from models.zoom.refine import Effort

BAND = 1.0
"""Within this of 0 the classifier's calibrated log-odds counts as unsure."""
ONE_ROUND = Effort(most=PARTS, depth=1, sure=1.0)
REFINED = Effort(most=2 * PARTS, depth=2, sure=1.0)


def _mean(looks: Looks) -> Searched:
    return Searched(looks.log_odds[:, 1 : 1 + PARTS].mean(axis=1), np.full(len(looks), float(PARTS)))


def _largest(looks: Looks) -> Searched:
    return Searched(looks.log_odds[:, 1 : 1 + PARTS].max(axis=1), np.full(len(looks), float(PARTS)))


STEPS: Mapping[str, Callable[[Looks], Searched]] = {
    "five parts, mean": _mean,
    "five parts, largest": _largest,
    "best of five": lambda looks: by_fold(looks, ONE_ROUND),
    "best of ten": lambda looks: by_fold(looks, REFINED),
    "adaptive best of N": lambda looks: by_fold(looks, adaptive(looks)),
}
"""The last two go on into the most promising part; the adaptive one only until a look is trusted."""


@dataclass(frozen=True)
class Step:
    """`where` it is taken; `share` of the images, both labels weighing a half, and the mean `cost_ms` on top
    of the classifier over all images; `gain` in MCC over the classifier alone."""

    name: str
    where: str
    share: float
    cost_ms: float
    gain: float
    interval: Interval

    @property
    def per_ms(self) -> float:
        """Points of MCC (hundredths) per millisecond."""
        return 100 * self.gain / self.cost_ms if self.cost_ms else 0.0

    @property
    def verdict(self) -> str:
        if self.interval[0] > 0:
            return "gains"
        return "NEGATIVE" if self.gain < 0 else "not beyond chance"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "points_per_ms": self.per_ms, "verdict": self.verdict}


def steps(looks: Looks, look_ms: float) -> list[Step]:
    """Out of fold; `look_ms` of one look. The step's log-odds is calibrated and added to the classifier's."""
    base = calibrated(looks.log_odds[:, 0], looks)
    unsure = np.abs(base) < BAND
    found = []
    for name, ask in STEPS.items():
        said = ask(looks)
        joined = base + calibrated(said.log_odds, looks)
        for where, taken in (("everywhere", np.ones(len(base), dtype=bool)), (f"within {BAND:g}", unsure)):
            found.append(
                _step(name, where, looks, base, np.where(taken, joined, base), taken * said.looks, look_ms)
            )
    return found


def adaptive(looks: Looks) -> Effort:
    """So sure that half of the searches end with their first round."""
    reward = fit_reward(looks)
    trusted = [reward.best(first)[1] for first in first_rounds(looks)]
    return Effort(most=2 * PARTS, depth=2, sure=round(float(np.median(trusted)), 3))


def _step(
    name: str, where: str, looks: Looks, base: Floats, after: Floats, taken: Floats, look_ms: float
) -> Step:
    gain, interval = difference(looks.answers.moved(after), looks.answers.moved(base))
    labels = looks.answers.roadwork
    share = by_class((taken > 0).astype(float), labels)
    return Step(name, where, share, look_ms * by_class(taken, labels), gain, interval)

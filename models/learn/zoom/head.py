"""The reward head of a closer look, and what the search would have said and cost with it, from looks that
were taken beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.fusion.rows import Flags, Floats, Rows
from models.fusion.training import folds
from models.learn.crossfit import calibrate, row_weights
from models.learn.metrics import label_weights
from models.learn.prefixes import FOLDS
from models.learn.zoom.looks import PARTS, Looks
from models.zoom.refine import Effort, refine
from models.zoom.reward import FEATURES, Look, Reward, features
from models.zoom.windows import WHOLE, Window, parts


@dataclass(frozen=True)
class Searched:
    """n challenges: `log_odds` (n,) raw, of the search; `looks` (n,) how many it took."""

    log_odds: Floats
    looks: Floats


def search(looks: Looks, reward: Reward, effort: Effort) -> Searched:
    """The search itself, on record; it goes no deeper than that does."""
    found = [refine(_replayed(row), reward, effort, clock=lambda: 0.0) for row in looks.log_odds]
    odds = np.array([reward.log_odds(each) for each in found])
    return Searched(odds, np.array([float(len(each)) for each in found]))


@dataclass
class _replayed:
    """Answers for the windows on record, in the two rounds in which they were taken."""

    row: Floats
    rounds: int = 0

    def __call__(self, windows: Sequence[Window]) -> list[float]:
        first = 1 + PARTS * self.rounds
        self.rounds += 1
        said: list[float] = self.row[first : first + len(windows)].tolist()
        return said


def fit_reward(looks: Looks) -> Reward:
    """P(a look's sign is right) by logistic regression on every look of both rounds; labels weigh a half."""
    from sklearn.linear_model import LogisticRegression

    rows = [_rewarded(row) for row in looks.log_odds]
    x = np.concatenate(rows)
    side = x[:, FEATURES.index("side")] > 0
    truth = np.repeat(looks.answers.roadwork, len(rows[0]))
    weights = label_weights(truth) * len(truth)
    fitted = LogisticRegression(C=1.0, max_iter=500).fit(x, side == truth, sample_weight=weights)
    return Reward(tuple(fitted.coef_[0].tolist()), float(fitted.intercept_[0]))


def _rewarded(row: Floats) -> Floats:
    """(10, features): each look among those of its round and before, as the search weighs them."""
    wide = parts(WHOLE)
    near = parts(wide[int(np.argmax(row[1 : 1 + PARTS]))])
    looks = [Look(window, odds) for window, odds in zip((*wide, *near), row[1:].tolist(), strict=True)]
    first = looks[:PARTS]
    return np.array(
        [*(features(each, first) for each in first), *(features(each, looks) for each in looks[PARTS:])]
    )


def first_rounds(looks: Looks) -> list[list[Look]]:
    """What the search sees before it decides whether to go on."""
    wide = parts(WHOLE)
    return [
        [Look(window, odds) for window, odds in zip(wide, row[1 : 1 + PARTS].tolist(), strict=True)]
        for row in looks.log_odds
    ]


def by_fold(looks: Looks, effort: Effort, seed: int = 0) -> Searched:
    """As `search`, by heads that saw no row of the sequence."""
    fold = looks_folds(looks, seed)
    odds, taken = np.zeros(len(looks)), np.zeros(len(looks))
    for part in np.unique(fold):
        held: Flags = fold == part
        found = search(looks.pick(held), fit_reward(looks.pick(~held)), effort)
        odds[held], taken[held] = found.log_odds, found.looks
    return Searched(odds, taken)


def looks_folds(looks: Looks, seed: int = 0) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """(n,) folds that part no sequence."""
    answers = looks.answers
    return folds(Rows(("zoom",), looks.log_odds[:, :1], answers.roadwork, answers.sequences), FOLDS, seed)


def calibrated(odds: Floats, looks: Looks, seed: int = 0) -> Floats:
    """Platt scaling of each fold by the others."""
    fold, found = looks_folds(looks, seed), np.zeros(len(odds))
    for part in np.unique(fold):
        held = fold == part
        other = looks.answers.pick(~held)
        temperature, threshold = calibrate(odds[~held], other.roadwork, row_weights(other))
        found[held] = (odds[held] - np.log(threshold / (1 - threshold))) / temperature
    return found

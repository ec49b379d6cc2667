"""What the region member adds to the classifier: each alone, and both weighed on out-of-fold answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.fusion.logistic import newton
from models.learn.crossfit import log_loss, row_weights
from models.learn.judge import Answers, tabulate
from models.learn.metrics import Floats

PULL = 1e-2
Pair = tuple[Answers, Answers]
"""Calibrated answers of the classifier and of the region member about the same challenges."""


@dataclass(frozen=True)
class Weights:
    """Fused log-odds = offset + classifier * its log-odds + regions * its log-odds."""

    offset: float
    classifier: float
    regions: float

    def fuse(self, pair: Pair) -> Floats:
        fused: Floats = self.offset + self.classifier * pair[0].scores + self.regions * pair[1].scores
        return fused


def same_challenges(one: Answers, other: Answers) -> bool:
    """Whether both answer the same rows in the same order, as far as answers can tell."""
    columns = ("roadwork", "sources", "sequences", "regimes")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in columns)


def weigh(pair: Pair) -> Weights:
    """Logistic regression with a weak pull to 0. Raises ValueError for answers to different challenges."""
    if not same_challenges(*pair):
        raise ValueError("the classifier's and the region member's answers are not about the same challenges")
    x = np.column_stack([np.ones(len(pair[0].scores)), pair[0].scores, pair[1].scores])
    pull = np.array([0.0, PULL, PULL])
    return Weights(*newton(x, pair[0].roadwork, row_weights(pair[0]), pull).tolist())


def compare(pair: Pair, weights: Weights) -> dict[str, dict[str, object]]:
    """Balanced MCC with its interval by sequence, AUC and log loss of each member and of both together."""
    both = pair[0].moved(weights.fuse(pair))
    return {
        name: _figures(each) for name, each in (("classifier", pair[0]), ("regions", pair[1]), ("both", both))
    }


def _figures(answers: Answers) -> dict[str, object]:
    line = tabulate(answers)[0]
    return {
        "mcc": line.report.mcc,
        "mcc_95": line.interval,
        "auc": line.report.auc,
        "log_loss": log_loss(answers),
    }

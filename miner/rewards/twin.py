"""The score that a validator keeps for us, recomputed: the subnet's formula in pure Python, oddities of its
numpy and scikit-learn calls included."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

WINDOW, SHORT_WINDOW = 100, 10
EXPONENT = 3
EMA = 0.05
NO_ANSWER = -1.0

Pair = tuple[float, int]


@dataclass(frozen=True, slots=True)
class Metrics:
    """Of one window: `accuracy` and `mcc` (negative ones count as 0) in [0, 1], `count` answers used."""

    accuracy: float
    mcc: float
    count: int


Hard = tuple[int, int] | None
"""A prediction rounded as numpy rounds, and its label; (NO_CLASS, label) for NaN and inf; None for -1."""
NO_CLASS = 2**64


def _hard(prediction: float, label: int) -> Hard:
    if prediction == NO_ANSWER:
        return None
    return (round(prediction) if math.isfinite(prediction) else NO_CLASS, label)


def window_metrics(window: Iterable[Hard]) -> Metrics:
    """Metrics of a window, those without an answer (None) left out.

    Where the subnet's scikit-learn calls would raise (NaN, infinity, or rounded predictions that make the
    problem neither binary nor about class 1), every metric of the window is 0, as in the subnet.
    """
    counts = Counter(window)
    counts.pop(None, None)
    total = counts.total()
    pairs = {pair: count for pair, count in counts.items() if pair is not None}
    if not pairs or not _judgeable(pairs):
        return Metrics(0.0, 0.0, total)
    accuracy = sum(count for (hard, label), count in pairs.items() if hard == label) / total
    return Metrics(accuracy, max(0.0, _mcc(pairs)), total)


def _judgeable(pairs: Iterable[tuple[int, int]]) -> bool:
    """Whether scikit-learn's binary scores accept these classes: 64-bit, at most two, one of two being 1."""
    classes = {value for pair in pairs for value in pair}
    if not all(-(2**63) <= c < 2**63 for c in classes):
        return False
    return len(classes) == 1 or (len(classes) == 2 and 1 in classes)


def _mcc(pairs: Mapping[tuple[int, int], int]) -> float:
    """Matthews correlation of 0/1 predictions and labels; 0 when either side has a single class."""
    if len({hard for hard, _ in pairs}) < 2 or len({label for _, label in pairs}) < 2:
        return 0.0
    tp, tn = pairs.get((1, 1), 0), pairs.get((0, 0), 0)
    fp, fn = pairs.get((1, 0), 0), pairs.get((0, 1), 0)
    return (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))


class Twin:
    """The score that one validator keeps for one of our hotkeys.

    `score` is its moving average in [0, 1], which becomes our share of that validator's weights. Starts as a
    validator starts: empty windows, score 0. `replay` rebuilds it from a history.
    """

    def __init__(self, validator: str = "", hotkey: str = "") -> None:
        self.validator, self.hotkey = validator, hotkey
        self.score = 0.0
        self.observed = 0
        self._window: deque[Hard] = deque(maxlen=WINDOW)

    @classmethod
    def replay(cls, pairs: Iterable[Pair], validator: str = "", hotkey: str = "") -> Twin:
        """A twin that has observed these (prediction, label) pairs, oldest first."""
        twin = cls(validator, hotkey)
        for prediction, label in pairs:
            twin.observe(prediction, label)
        return twin

    def observe(self, prediction: float, label: int) -> float:
        """Take in one challenge's outcome and return its reward in [0, 1].

        `prediction` as the validator saw it: -1.0 for a timeout or an unusable answer. `label`: 1 roadwork.
        """
        self._window.append(_hard(prediction, label))
        self.observed += 1
        reward = self._reward(prediction)
        self.score = EMA * reward + (1 - EMA) * self.score
        return reward

    def _reward(self, prediction: float) -> float:
        if prediction == NO_ANSWER or prediction < 0 or prediction > 1:
            return 0.0
        long, short = self.metrics()
        base: float = 0.5 * long.mcc + 0.5 * short.accuracy
        return base**EXPONENT

    def metrics(self) -> tuple[Metrics, Metrics]:
        """Of the long (100) and the short (10) window."""
        window = list(self._window)
        return window_metrics(window), window_metrics(window[-SHORT_WINDOW:])

    def reset(self) -> None:
        """Start over, as a validator does when another hotkey takes the UID."""
        self._window.clear()
        self.score = 0.0


def weights_of(scores: Mapping[int, float]) -> dict[int, float]:
    """A validator's weights for its scores: uid -> share, summing to 1; all zero when every score is."""
    total = sum(abs(score) for score in scores.values())
    return {uid: score / total if total else 0.0 for uid, score in scores.items()}


def expected_reward(true_positive_rate: float, true_negative_rate: float, timeouts: float = 0.0) -> float:
    """The mean reward to expect per query for balanced labels, all three arguments in [0, 1].

    Without the windows' variance: MCC = (a + b - 1) / sqrt(1 - (a - b)^2), accuracy = (a + b) / 2.
    """
    a, b = true_positive_rate, true_negative_rate
    skew = 1 - (a - b) ** 2
    mcc = max(0.0, (a + b - 1) / math.sqrt(skew)) if skew > 0 else 0.0
    reward: float = (0.5 * mcc + 0.25 * (a + b)) ** EXPONENT
    return (1 - timeouts) * reward

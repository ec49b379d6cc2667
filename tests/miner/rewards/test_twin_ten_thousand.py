"""Ten thousand challenges: the twin's reward beside a transcription of the validators' scoring."""

from __future__ import annotations

import math
import random
import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from miner.rewards.twin import Twin

CHALLENGES = 10_000
LOOK_EVERY = 125
NAN, INF = float("nan"), float("inf")


class Tracker:
    """The validators' performance tracker and reward in their order of steps, in numpy.

    Their scikit-learn scores are replaced by what these are for counts, since fifty thousand calls take
    minutes; `sklearn_window` calls the originals, to prove the replacement.
    """

    def __init__(self) -> None:
        self.history: list[tuple[float, int]] = []
        self.ema = 0.0

    def window(self, size: int) -> tuple[np.ndarray, np.ndarray] | None:
        newest = self.history[-100:][-size:]
        valid = [entry for entry in newest if entry[0] != -1]
        if not valid:
            return None
        table = np.array(valid, dtype=float)
        return table[:, 1].astype(int), np.round(table[:, 0])

    def metrics(self, size: int) -> tuple[float, float]:
        """(accuracy, MCC)"""
        found = self.window(size)
        if found is None:
            return 0.0, 0.0
        truth, said = found
        if not np.isfinite(said).all():
            return 0.0, 0.0
        present = np.union1d(truth, said)
        if len(present) > 2 or (len(present) == 2 and 1 not in present):
            return 0.0, 0.0
        accuracy = float(np.mean(truth == said))
        if len(np.unique(truth)) < 2 or len(np.unique(said)) < 2:
            return accuracy, 0.0
        return accuracy, max(0.0, float(np.corrcoef(truth, said)[0, 1]))

    def sklearn_window(self, size: int) -> tuple[float, float]:
        found = self.window(size)
        if found is None:
            return 0.0, 0.0
        truth, said = found
        try:
            accuracy = sk.accuracy_score(truth, said)
            for score in (sk.precision_score, sk.recall_score, sk.f1_score):
                score(truth, said, zero_division=0)
            two = len(np.unique(truth)) > 1 and len(np.unique(said)) > 1
            return float(accuracy), max(0.0, float(sk.matthews_corrcoef(truth, said))) if two else 0.0
        except ValueError:
            return 0.0, 0.0

    def step(self, prediction: float, label: int) -> float:
        self.history.append((prediction, label))
        mcc, accuracy = self.metrics(100)[1], self.metrics(10)[0]
        if prediction == -1:
            reward = 0.0
        else:
            penalty = 0.0 if prediction < 0 or prediction > 1 else 1.0
            reward = ((mcc * 0.5 + accuracy * 0.5) * penalty) ** 3
        self.ema = 0.05 * reward + 0.95 * self.ema
        return reward


def a_miners_life(seed: int):
    """Answers of a fair miner with spells of timeouts, of drift, and of odd numbers."""
    rng = random.Random(seed)
    odd = [NAN, INF, -INF, 1.2, 1.4999, 1.5, 1.7, 2.6, -0.3, -0.5, -0.50001, -0.7, -1.4, 3.0, 1e30]
    skill, odd_until, out_until = 0.93, 0, 0
    for number in range(CHALLENGES):
        label = int(rng.random() < 0.5)
        if rng.random() < 0.002:
            skill = rng.choice([0.45, 0.7, 0.85, 0.93, 0.99, 1.0])
        if rng.random() < 0.0015:
            odd_until = number + rng.randint(1, 3)
        if rng.random() < 0.001:
            out_until = number + rng.randint(1, 130)
        right = rng.random() < skill
        usual = (
            rng.uniform(0.5001, 1.0) if (label == 1) == right else rng.choice([rng.uniform(0, 0.5), 0.5, 0.0])
        )
        yield (-1.0 if number < out_until else rng.choice(odd) if number < odd_until else usual), label


def test_the_rewards_are_those_of_the_validators():
    twin, tracker, kinds = Twin(), Tracker(), set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, (prediction, label) in enumerate(a_miners_life(seed=72)):
            assert math.isclose(
                twin.observe(prediction, label), tracker.step(prediction, label), abs_tol=1e-9
            )
            assert math.isclose(twin.score, tracker.ema, abs_tol=1e-9)
            kinds.add("none" if prediction == -1 else "nan" if prediction != prediction else prediction > 1.5)
            if number % LOOK_EVERY == 0:
                for size in (10, 100):
                    assert tracker.metrics(size) == pytest.approx(tracker.sklearn_window(size), abs=1e-12)
    assert kinds == {"none", "nan", True, False}

"""Two made-up worlds with a known truth, to prove the guarantee on: no image looks like these numbers.

A world is a finite population of sequences. Calibration data are drawn from it with replacement, so that the
risk of any thresholds is known exactly, not estimated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.certify.bounds import Floats
from models.certify.traces import Thresholds, Traces, disagrees, follow

COST_MS = (1.0, 8.0, 40.0)
"""What the three tiers of a world cost."""


def steady(count: int, rng: np.random.Generator) -> Traces:
    """Single images; each tier sees the truth through less noise than the one before."""
    roadwork = rng.random(count) < 0.5
    margin = np.where(roadwork, 1.0, -1.0) * rng.gamma(2.0, 1.2, count)
    noise = np.stack([rng.normal(0, scale, count) for scale in (1.6, 0.9, 0.5)], axis=1)
    fused = np.cumsum(margin[:, None] + noise, axis=1)
    return Traces(fused, roadwork, np.arange(count).astype(str))


def treacherous(count: int, rng: np.random.Generator) -> Traces:
    """Sequences of 1 to 8 images that share their difficulty; some look like roadwork and are none (building
    sites), and fool the cheap tier with confidence. Heavy tails. Mistakes differ by class."""
    sizes = rng.integers(1, 9, count)
    sequence = np.repeat(np.arange(count), sizes)
    roadwork = (rng.random(count) < 0.5)[sequence]
    trap = ((rng.random(count) < 0.06)[sequence]) & ~roadwork
    ease = rng.gamma(3.0, 1.0, count)[sequence]
    sign = np.where(roadwork, 1.0, -1.0)
    noise = rng.standard_t(4, (len(sequence), 3)) * np.array([1.0, 0.8, 0.5])
    first = np.where(trap, rng.normal(1.5, 1.5, len(sequence)), sign * ease)
    own = np.stack([first, 1.2 * sign * ease, 2.5 * sign * ease], axis=1) + noise
    return Traces(np.cumsum(own, axis=1), roadwork, sequence.astype(str))


WORLDS: dict[str, Callable[[int, np.random.Generator], Traces]] = {
    "steady": steady,
    "treacherous": treacherous,
}


@dataclass(frozen=True)
class Population:
    """`traces` of all there is; `rows` of each sequence, `roadwork` of each sequence."""

    traces: Traces
    rows: list[np.ndarray[tuple[int], np.dtype[np.intp]]]
    roadwork: np.ndarray[tuple[int], np.dtype[np.bool_]]

    def draw(self, count: int, prior: float, rng: np.random.Generator) -> Traces:
        """`count` sequences with replacement, a share `prior` of them with roadwork; all get new names."""
        positive = rng.random(count) < prior
        sides = (np.flatnonzero(~self.roadwork), np.flatnonzero(self.roadwork))
        none, works = (side[rng.integers(len(side), size=count)] for side in sides)
        picked = np.where(positive, works, none)
        rows = np.concatenate([self.rows[each] for each in picked])
        names = np.repeat(np.arange(count), [len(self.rows[each]) for each in picked]).astype(str)
        return Traces(self.traces.fused[rows], self.traces.roadwork[rows], names)

    def risks(self, thresholds: Thresholds) -> Floats:
        """True disagreement (none, roadwork), per sequence."""
        wrong = disagrees(self.traces, thresholds)
        return np.array([self.traces.units(label).mean(wrong) for label in (False, True)])

    def exits(self, thresholds: Thresholds) -> float:
        """Share of images that leave early."""
        return float((follow(self.traces.fused, thresholds)[1] < self.traces.fused.shape[1] - 1).mean())


def population(world: str, count: int = 4000, seed: int = 0) -> Population:
    """`count` sequences of a world, each with one label."""
    traces = WORLDS[world](count, np.random.default_rng(seed))
    _, inverse = np.unique(traces.sequences, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(inverse))[:-1])
    return Population(traces, rows, np.array([bool(traces.roadwork[each[0]]) for each in rows]))

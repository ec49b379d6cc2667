"""Does a model see works, or something that merely goes with them in a small collection?

Three probes:

    size        how well width, height and aspect alone tell the labels apart (nearest neighbours): what
                there is to cheat with, not what the model does
    blank       the model's log-odds on plain grey images of every shape, and how far the shape moves them
    one source  MCC inside one source that has both labels, where the camera gives nothing away
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from models.learn.data import Example, two_sided
from models.learn.judge import Answers, Judge
from models.learn.metrics import Floats, balanced_mcc, rates, report

SHAPES = ((280, 280), (498, 280), (307, 280), (373, 280), (280, 373), (1920, 1080), (224, 224), (640, 480))
NEIGHBOURS = 15


@dataclass(frozen=True)
class Probes:
    """`size_mcc` of the collection; `blank_spread` in log-odds; `within` source -> MCC."""

    size_mcc: float
    blank_mean: float
    blank_spread: float
    within: dict[str, float]


def probe(judge: Judge, training: Sequence[Example], test: Sequence[Example], answers: Answers) -> Probes:
    blank = judge([Image.new("RGB", shape, (118, 118, 118)) for shape in SHAPES])
    return Probes(
        size_mcc=size_only(training, test),
        blank_mean=float(blank.mean()),
        blank_spread=float(blank.max() - blank.min()),
        within=within_sources(answers, sorted(two_sided(test))),
    )


def size_only(training: Sequence[Example], test: Sequence[Example]) -> float:
    """Balanced MCC on `test` of nearest neighbours in (width, height, aspect), taught by `training`."""
    known, asked = _shapes(training), _shapes(test)
    spread = known.std(axis=0) + 1e-9
    labels = np.array([example.roadwork for example in training])
    prior = labels.mean()
    scores = []
    for shape in asked:
        near = np.argsort((((known - shape) / spread) ** 2).sum(axis=1), kind="stable")[:NEIGHBOURS]
        scores.append(labels[near].mean() - prior)
    return balanced_mcc(*rates(np.array(scores), np.array([example.roadwork for example in test])))


def _shapes(examples: Sequence[Example]) -> Floats:
    sizes = []
    for example in examples:
        with Image.open(example.path) as image:
            sizes.append((image.width, image.height, image.width / image.height))
    return np.array(sizes, dtype=float)


def within_sources(answers: Answers, sources: Sequence[str]) -> dict[str, float]:
    """Balanced MCC inside each of `sources`."""
    figures = {}
    for source in sources:
        part = answers.pick(answers.sources == source)
        figures[source] = report(part.scores, part.roadwork).mcc
    return figures

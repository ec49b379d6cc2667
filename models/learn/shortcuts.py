"""Does a model see works, or something that merely goes with them in a small collection?

size        how well width, height and aspect of the files alone tell the labels apart (nearest
            neighbours): what there is to cheat with, not what the model does
dealt       the same of challenges whose shapes are dealt out blindly: about 0
headers     the same of challenges as the evaluation draws them, the bars around them and JPEG tables
            included: about 0, or the evaluation can be cheated
shape       how far streets without works move, in log-odds, when they are cut wide (16:9) and not
            square: about 0 for a model that does not take the frame's shape for works
one source  MCC inside one source that has both labels, where the camera gives nothing away
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from models.learn.data import Example, two_sided
from models.learn.judge import BATCH, Answers, Judge
from models.learn.metrics import Floats, balanced_mcc, rates, report
from models.learn.regimes import REGIMES, draw
from models.learn.shapes import Shape, dealt, features, reshaped, shapes_of

NEIGHBOURS = 15
DEALS = 8
BLACK = 24
"""Of 255; a bar's pixels are below, JPEG's ringing included."""


@dataclass(frozen=True)
class Probes:
    """`size_mcc` of the collection, `dealt_mcc` of its challenges' shapes; `shape_shift` in log-odds, mean;
    `within` source -> MCC."""

    size_mcc: float
    dealt_mcc: float
    shape_shift: float
    within: dict[str, float]


def probe(judge: Judge, training: Sequence[Example], test: Sequence[Example], answers: Answers) -> Probes:
    """`answers` are the judge's on `test`."""
    return Probes(
        size_mcc=size_only(training, test),
        dealt_mcc=dealt_only(training, test),
        shape_shift=shape_shift(judge, [example for example in test if not example.roadwork]),
        within=within_sources(answers, sorted(two_sided(test))),
    )


def shape_shift(judge: Judge, examples: Sequence[Example]) -> float:
    """Mean change of the log-odds from the centre square to the centre 16:9 cut; NaN without examples."""
    shifts: list[float] = []
    for first in range(0, len(examples), BATCH):
        images = [example.load() for example in examples[first : first + BATCH]]
        wide = judge([centre(image, 16 / 9) for image in images])
        shifts += (wide - judge([centre(image, 1.0) for image in images])).tolist()
    return float(np.mean(shifts)) if shifts else float("nan")


def centre(image: Image.Image, aspect: float) -> Image.Image:
    """The largest cut of that aspect from the middle."""
    width = min(image.width, round(image.height * aspect))
    height = min(image.height, round(image.width / aspect))
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def size_only(training: Sequence[Example], test: Sequence[Example]) -> float:
    """Balanced MCC on `test` of nearest neighbours in (width, height, aspect), taught by `training`."""
    known, asked = (features(shapes_of(part)) for part in (training, test))
    return _nearest(known, asked, training, test)


def headers(training: Sequence[Example], test: Sequence[Example], seed: int = 0) -> dict[str, float]:
    """Regime -> balanced MCC on `test` of nearest neighbours in what challenges say without their content:
    width, height, aspect, the mean of each JPEG table, and what black bars leave; taught by challenges of
    `training`."""
    known, asked = (_drawn(part, seed) for part in (training, test))
    return {regime: _nearest(known[regime], asked[regime], training, test) for regime in REGIMES}


def dealt_only(training: Sequence[Example], test: Sequence[Example]) -> float:
    """Of `headers` in the native regime, the mean over some ways of dealing shapes out. Fast: the tables
    there are one and the same, so only shapes are looked at."""
    found = [
        _nearest(features(dealt(training, seed)), features(dealt(test, seed + 1)), training, test)
        for seed in range(DEALS)
    ]
    return float(np.mean(found))


def _drawn(examples: Sequence[Example], seed: int) -> dict[str, Floats]:
    """Regime -> (examples, features of the header) of one challenge each."""
    rows: dict[str, list[list[float]]] = {regime: [] for regime in REGIMES}
    shapes = dealt(examples, seed)
    for number, (example, shape) in enumerate(zip(examples, shapes, strict=True)):
        image, rng = example.load(), np.random.default_rng([seed, number])
        for regime in REGIMES:
            rows[regime].append(_header(draw(regime, reshaped(image, shape, regime), rng)[0]))
    return {regime: np.array(found) for regime, found in rows.items()}


def _header(data: bytes) -> list[float]:
    with Image.open(io.BytesIO(data)) as image:
        tables = getattr(image, "quantization", {})
        means = [float(np.mean(tables.get(index, [0]))) for index in (0, 1)]
        width, height = _between_bars(image)
        return [image.width, image.height, image.width / image.height, *means, width, height, width / height]


def _between_bars(image: Image.Image) -> Shape:
    """Columns and rows that are not black all through (at least one each)."""
    lit = np.asarray(image.convert("L")) > BLACK
    return max(1, int(lit.any(axis=0).sum())), max(1, int(lit.any(axis=1).sum()))


def _nearest(known: Floats, asked: Floats, training: Sequence[Example], test: Sequence[Example]) -> float:
    """Balanced MCC on `test`; 0 where all challenges look the same."""
    spread = known.std(axis=0) + 1e-9
    labels = np.array([example.roadwork for example in training])
    prior = labels.mean()
    scores = []
    for row in asked:
        near = np.argsort((((known - row) / spread) ** 2).sum(axis=1), kind="stable")[:NEIGHBOURS]
        scores.append(labels[near].mean() - prior)
    return balanced_mcc(*rates(np.array(scores), np.array([example.roadwork for example in test])))


def within_sources(answers: Answers, sources: Sequence[str]) -> dict[str, float]:
    """Balanced MCC inside each of `sources`."""
    figures = {}
    for source in sources:
        part = answers.pick(answers.sources == source)
        figures[source] = report(part.scores, part.roadwork).mcc
    return figures

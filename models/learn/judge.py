"""Ask a model about labelled images in each of the input regimes, and tabulate how it did."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.imaging.measure import picture
from models.learn.data import Example
from models.learn.kept import Kept
from models.learn.metrics import Floats, Report, balanced_mcc, bootstrap, rates, report
from models.learn.regimes import REGIMES, Regime, draw
from models.learn.shapes import Shape, reshaped

DRAWS: Mapping[Regime, int] = {"augmented": 3, "letterbox": 2, "native": 1}
ONCE = dict.fromkeys(REGIMES, 1)
BATCH = 16
ENCODED = "encoded"
"""Under this name an image knows the bytes it came in."""
Judge = Callable[[Sequence[Image.Image]], Floats]
"""RGB images -> one log-odds each."""


@dataclass(frozen=True)
class Answers:
    """Row by row: the log-odds, the truth, and where the image came from."""

    scores: Floats
    roadwork: NDArray[np.bool_]
    sources: NDArray[np.str_]
    sequences: NDArray[np.str_]
    regimes: NDArray[np.str_]

    def pick(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Answers:
        return Answers(
            self.scores[rows],
            self.roadwork[rows],
            self.sources[rows],
            self.sequences[rows],
            self.regimes[rows],
        )

    def moved(self, scores: Floats) -> Answers:
        return Answers(scores, self.roadwork, self.sources, self.sequences, self.regimes)


def ask(
    judge: Judge,
    examples: Sequence[Example],
    draws: Mapping[Regime, int] = DRAWS,
    seed: int = 0,
    kept: Kept | None = None,
    told: Callable[[int, int], None] = lambda done, all: None,
    shapes: Sequence[Shape] | None = None,
) -> Answers:
    """Challenge `judge` with every example in every regime, `draws` times each, over real JPEG bytes.

    `kept` holds what was answered in an earlier run and takes what is answered in this one; `told` hears how
    many of all examples are done; `shapes` the size that each is shown in where that shows
    (`models.learn.shapes`; None: its own).
    """
    regimes = [regime for regime in REGIMES for _ in range(draws.get(regime, 0))]
    scores = kept.scores() if kept else []
    for number in range(len(scores) // len(regimes), len(examples)):
        shape = shapes[number] if shapes else None
        said = _asked(judge, examples[number], regimes, [seed, number], shape)
        scores += said
        if kept:
            kept.add(said)
        told(number + 1, len(examples))
    each = len(regimes)
    return Answers(
        np.array(scores),
        np.repeat([example.roadwork for example in examples], each),
        np.repeat([example.source for example in examples], each),
        np.repeat([example.sequence for example in examples], each),
        np.tile(regimes, len(examples)),
    )


def _asked(
    judge: Judge, example: Example, regimes: Sequence[Regime], seed: Sequence[int], shape: Shape | None
) -> list[float]:
    image, rng = example.load(), np.random.default_rng(seed)
    shown = [_decode(draw(regime, reshaped(image, shape, regime), rng)[0]) for regime in regimes]
    scores: list[float] = judge(shown).tolist()
    return scores


def _decode(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data)).convert("RGB")
    image.info[ENCODED] = len(data)
    return image


def difficulty(image: Image.Image) -> dict[str, float]:
    """Of an image that `ask` showed, as in service: how many bytes it came in is part of it."""
    return picture(image, image.info[ENCODED])


def pictures(examples: Sequence[Example]) -> tuple[Answers, list[dict[str, float]]]:
    """The difficulty of every challenge that `ask` makes of `examples`, once in each regime; in its order,
    with its labels."""
    found: list[dict[str, float]] = []

    def record(images: Sequence[Image.Image]) -> Floats:
        found.extend(difficulty(image) for image in images)
        return np.zeros(len(images))

    return ask(record, examples, ONCE), found


def join(parts: Sequence[Answers]) -> Answers:
    """All rows of several answers."""
    names = ("scores", "roadwork", "sources", "sequences", "regimes")
    return Answers(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table; `interval` of the balanced MCC by sequence, NaN with one label only."""

    source: str
    regime: str
    report: Report
    interval: tuple[float, float]


def tabulate(answers: Answers, draws: int = 1000) -> list[Line]:
    """A line per source and regime, "all" included; deterministic."""
    lines = []
    for source in ("all", *sorted(set(answers.sources.tolist()))):
        for regime in ("all", *REGIMES):
            keep = (answers.sources == source) | (source == "all")
            keep &= (answers.regimes == regime) | (regime == "all")
            part = answers.pick(keep)
            if len(part.scores):
                lines.append(Line(source, regime, report(part.scores, part.roadwork), _interval(part, draws)))
    return lines


def _interval(part: Answers, draws: int) -> tuple[float, float]:
    def mcc(rows: NDArray[np.intp]) -> float:
        return balanced_mcc(*rates(part.scores[rows], part.roadwork[rows]))

    if part.roadwork.all() or not part.roadwork.any():
        return float("nan"), float("nan")
    return bootstrap(part.sequences.tolist(), mcc, draws)


def format_table(lines: Sequence[Line]) -> str:
    """Markdown."""
    head = "| source | regime | images | MCC [95 %] | TPR | TNR | accuracy | AUC | ECE | reward |"
    return "\n".join([head, "|---" * 10 + "|", *map(_format, lines)])


def _format(line: Line) -> str:
    low, high = line.interval
    figures = line.report
    mcc = _figure(figures.mcc) + ("" if low != low else f" [{_figure(low)} {_figure(high)}]")
    cells = (figures.tpr, figures.tnr, figures.accuracy, figures.auc, figures.ece, figures.reward)
    row = (line.source, line.regime, str(figures.count), mcc, *map(_figure, cells))
    return "| " + " | ".join(row) + " |"


def _figure(value: float) -> str:
    return "-" if value != value else f"{value:.3f}"

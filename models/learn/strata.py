"""Every level of distortion asked about equally often: the validators' mix with less chance in it.

Validators draw the four levels a quarter each, so the mean over levels asked once each is the mean over their
challenges, without the noise of drawing levels.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.learn.data import Example
from models.learn.judge import Answers, Judge
from models.learn.kept import Kept
from models.learn.regimes import NATIVE_LEVEL, Regime, distort, frame, to_jpeg
from models.learn.shapes import Shape, reshaped

LEVELS = (0, 1, 2, 3)
VIEWS: tuple[tuple[Regime, int], ...] = (
    ("native", NATIVE_LEVEL),
    *(("letterbox", level) for level in LEVELS),
    *(("augmented", level) for level in LEVELS),
)


@dataclass(frozen=True)
class Strata:
    """`answers` to `VIEWS` of every example, in this order, and the `levels` of each."""

    answers: Answers
    levels: NDArray[np.intp]

    def rows(self, source: str, regime: str, level: int | None = None) -> NDArray[np.intp]:
        """Of one source ("all") in one regime, at one level (None: at every one)."""
        found = self.answers
        keep = (found.sources == source) | (source == "all")
        keep &= found.regimes == regime
        if level is not None:
            keep &= self.levels == level
        return np.flatnonzero(keep)


def ask_all(
    judge: Judge,
    examples: Sequence[Example],
    shapes: Sequence[Shape],
    seed: int = 0,
    kept: Kept | None = None,
    told: Callable[[int, int], None] = lambda done, all: None,
) -> Strata:
    """Challenge `judge` with every view of every example, over real JPEG bytes; `kept` and `told` as
    `judge.ask` has them."""
    scores = kept.scores() if kept else []
    for number in range(len(scores) // len(VIEWS), len(examples)):
        shown = _shown(examples[number].load(), shapes[number], np.random.default_rng([seed, number]))
        said = judge(shown).tolist()
        scores += said
        if kept:
            kept.add(said)
        told(number + 1, len(examples))
    each = len(VIEWS)
    answers = Answers(
        np.array(scores),
        np.repeat([example.roadwork for example in examples], each),
        np.repeat([example.source for example in examples], each),
        np.repeat([example.sequence for example in examples], each),
        np.tile([regime for regime, _ in VIEWS], len(examples)),
    )
    return Strata(answers, np.tile([level for _, level in VIEWS], len(examples)))


def _shown(image: Image.Image, shape: Shape, rng: np.random.Generator) -> list[Image.Image]:
    found = []
    for regime, level in VIEWS:
        view = reshaped(image, shape, regime)
        if regime != "native":
            view = distort(frame(regime, view, level, rng), level, rng)
        found.append(Image.open(io.BytesIO(to_jpeg(view))).convert("RGB"))
    return found

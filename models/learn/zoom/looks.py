"""Looks at parts of challenges, by networks that never saw their sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.learn.data import Example
from models.learn.judge import ONCE, Answers, Judge, ask
from models.learn.metrics import Floats
from models.zoom.windows import WHOLE, cut, parts

PARTS = 5
COLUMNS = ("roadwork", "sources", "sequences", "regimes")


@dataclass(frozen=True)
class Looks:
    """n challenges. `log_odds` (n, 11) raw: of the whole, of its five parts, and of the five parts of that
    one of them that looked most like roadwork; `answers` what the whole said, and the labels."""

    log_odds: Floats
    answers: Answers

    def __len__(self) -> int:
        return len(self.log_odds)

    def pick(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Looks:
        return Looks(self.log_odds[rows], self.answers.pick(rows))

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            path,
            log_odds=self.log_odds,
            **{field.name: getattr(self.answers, field.name) for field in fields(Answers)},
        )


def load_looks(path: Path) -> Looks:
    with np.load(path) as file:
        return Looks(file["log_odds"], Answers(*(file[field.name] for field in fields(Answers))))


def look(judge: Judge, examples: Sequence[Example]) -> Looks:
    """Every challenge of `examples`, once in each regime."""
    rows: list[Floats] = []

    def record(images: Sequence[Image.Image]) -> Floats:
        rows.extend(_looks(judge, image) for image in images)
        return np.array([row[0] for row in rows[len(rows) - len(images) :]])

    answers = ask(record, examples, ONCE)
    return Looks(np.stack(rows), answers)


def _looks(judge: Judge, image: Image.Image) -> Floats:
    wide = [WHOLE, *parts(WHOLE)]
    first = judge([cut(image, window) for window in wide])
    near = parts(wide[1 + int(np.argmax(first[1:]))])
    return np.concatenate([first, judge([cut(image, window) for window in near])])

"""What every member says about the same challenges: of those that cross-fitting left out, and as served.

Out of fold each member brings the answers that its own training left (`models.learn.crossfit`), all in the
same order; as served the tiers themselves are asked, one image at a time, as the cascade asks them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.calibration import Calibration
from models.core import Box, Evidence, Tier
from models.fusion.rows import Floats, Rows
from models.learn.crossfit import load_cross_fit
from models.learn.data import Example
from models.learn.judge import ONCE, Answers, ask, difficulty
from models.learn.regimes import Regime

COLUMNS = ("roadwork", "sources", "sequences", "regimes")
FEWEST = 0.5
"""A feature is kept as a column when at least this share of a member's evidence has it."""


@dataclass(frozen=True)
class Heard:
    """n challenges. `rows` calibrated log-odds and features of M members, in the order they are asked;
    `sources` and `regimes` (n,); `cost_ms` (n, M) milliseconds of one CPU thread, NaN where not measured;
    `versions` of the members, "" out of fold, where it was no served model that spoke; `scenes` the
    pictures' difficulty (`models.imaging.measure`), empty where nobody measured it."""

    rows: Rows
    sources: NDArray[np.str_]
    regimes: NDArray[np.str_]
    cost_ms: Floats
    versions: tuple[str, ...]
    scenes: tuple[Mapping[str, float], ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def evidence(self, row: int) -> list[Evidence]:
        """What those who spoke said about one challenge, boxes apart."""
        rows, said = self.rows, []
        for index, name in enumerate(rows.members):
            values = rows.features[name][row].tolist() if name in rows.features else []
            given = zip(rows.names.get(name, ()), values, strict=True)
            more = {key: value for key, value in given if value == value}
            odds, cost = float(rows.log_odds[row, index]), float(self.cost_ms[row, index])
            if odds == odds:
                said.append(Evidence(name, self.versions[index], odds, cost, more))
        return said

    def answers(self, scores: Floats) -> Answers:
        """`scores` (n,) as answers to these challenges, for tables and intervals."""
        return Answers(scores, self.rows.roadwork, self.sources, self.rows.groups, self.regimes)


def out_of_fold(files: Mapping[str, Path], applied: Mapping[str, Calibration]) -> Heard:
    """Members' names to their cross-fits, cheap to dear; `applied` what each puts on its raw log-odds.

    A member that was cross-fitted on the first folds only shortens all to those. Raises ValueError when the
    files do not answer the same challenges in the same order.
    """
    whole = {name: load_cross_fit(path).answers for name, path in files.items()}
    count = min(len(each.scores) for each in whole.values())
    found = {name: each.pick(np.arange(count)) for name, each in whole.items()}
    first, *others = found.values()
    for name, each in zip(list(found)[1:], others, strict=True):
        if not all(np.array_equal(getattr(first, column), getattr(each, column)) for column in COLUMNS):
            raise ValueError(f"{files[name]} answers other challenges than {next(iter(files.values()))}")
    columns = [[applied[name].apply(each) for each in found[name].scores.tolist()] for name in found]
    rows = Rows(tuple(found), np.array(columns).T, first.roadwork, first.sequences)
    return Heard(rows, first.sources, first.regimes, np.full(rows.log_odds.shape, np.nan), ("",) * len(found))


def listen(
    tiers: Sequence[Tier], examples: Sequence[Example], draws: Mapping[Regime, int] = ONCE, seed: int = 0
) -> Heard:
    """Ask every tier about every challenge that `models.learn.judge.ask` makes of `examples`."""
    said: list[tuple[list[Evidence | None], list[float]]] = []
    scenes: list[Mapping[str, float]] = []

    def record(images: Sequence[Image.Image]) -> Floats:
        scenes.extend(difficulty(image) for image in images)
        said.extend(_everybody(tiers, image) for image in images)
        return np.zeros(len(images))

    answers = ask(record, examples, draws, seed)
    names = tuple(tier.name for tier in tiers)
    log_odds = np.array([[np.nan if each is None else each.log_odds for each in heard] for heard, _ in said])
    columns = {name: _features([heard[index] for heard, _ in said]) for index, name in enumerate(names)}
    known = {name: each for name, each in columns.items() if each[0]}
    rows = Rows(
        names,
        log_odds,
        answers.roadwork,
        answers.sequences,
        {name: values for name, (_, values) in known.items()},
        {name: keys for name, (keys, _) in known.items()},
    )
    costs = np.array([cost for _, cost in said])
    versions = tuple(tier.version for tier in tiers)
    return Heard(rows, answers.sources, answers.regimes, costs, versions, tuple(scenes))


def _everybody(tiers: Sequence[Tier], image: Image.Image) -> tuple[list[Evidence | None], list[float]]:
    """Evidence (None from whoever failed) and milliseconds of each tier, in order."""
    heard: list[Evidence | None] = []
    costs = []
    for tier in tiers:
        boxes = tuple(box for each in heard if each is not None for box in each.boxes)
        evidence, cost = hear(tier, image, boxes)
        heard.append(evidence)
        costs.append(cost)
    return heard, costs


def hear(tier: Tier, image: Image.Image, boxes: Sequence[Box]) -> tuple[Evidence | None, float]:
    """What a local tier says about one view, None when it fails on it, and the CPU milliseconds of this
    thread: preparing counts, decoding does not. `boxes` what earlier tiers saw, for a guided one."""
    began = time.thread_time()
    try:
        evidence = tier.evidence([prepared(tier, image, boxes)])[0]
    except ArithmeticError:
        evidence = None
    return evidence, 1e3 * (time.thread_time() - began)


def prepared(tier: Tier, image: Image.Image, boxes: Sequence[Box]) -> Any:
    """The batch item of one view: see `models.core.Tier` on guided and joint tiers."""
    guide: dict[str, Any] = {"boxes": boxes} if getattr(tier, "guided", False) else {}
    item = tier.prepare(image, **guide)
    return (item,) if getattr(tier, "joint", False) else item


def _features(said: Sequence[Evidence | None]) -> tuple[tuple[str, ...], Floats]:
    """Names and (n, d) values, NaN where one was not given."""
    given = [{} if each is None else dict(each.features) for each in said]
    names = sorted({name for each in given for name in each})
    keys = tuple(name for name in names if sum(name in each for each in given) >= FEWEST * len(given))
    return keys, np.array([[each.get(name, np.nan) for name in keys] for each in given])

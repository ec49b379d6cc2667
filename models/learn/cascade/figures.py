"""How well something decides, with intervals by sequence, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from models.learn.judge import Answers
from models.learn.metrics import Floats, balanced_mcc, bootstrap, expected_reward, rates

DRAWS = 1000
Interval = tuple[float, float]
Statistic = Callable[[NDArray[np.intp]], float]


@dataclass(frozen=True, slots=True)
class Figures:
    """At equal prevalence; intervals of 95 % by sequence. `reward` the subnet's per query; `cost_ms` mean,
    None where it was not measured."""

    name: str
    mcc: float
    mcc_95: Interval
    reward: float
    reward_95: Interval
    cost_ms: float | None = None

    def to_json(self) -> dict[str, object]:
        """JSON has no NaN: None."""
        return {key: _plain(value) for key, value in asdict(self).items()}


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return None if value != value else value


def figures(name: str, answers: Answers, cost_ms: float | None = None, draws: int = DRAWS) -> Figures:
    """Of one row of scores."""
    whole, groups = np.arange(len(answers.scores)), answers.sequences.tolist()

    def ranges(statistic: Statistic) -> tuple[float, Interval]:
        return statistic(whole), bootstrap(groups, statistic, draws)

    return Figures(name, *ranges(mcc_of(answers)), *ranges(reward_of(answers)), cost_ms)


def difference(one: Answers, other: Answers, draws: int = DRAWS) -> tuple[float, Interval]:
    """MCC of `one` less that of `other` on the same challenges, and its interval."""
    first, second = mcc_of(one), mcc_of(other)

    def gain(rows: NDArray[np.intp]) -> float:
        return first(rows) - second(rows)

    return gain(np.arange(len(one.scores))), bootstrap(one.sequences.tolist(), gain, draws)


def mcc_of(answers: Answers) -> Statistic:
    return lambda rows: balanced_mcc(*rates(answers.scores[rows], answers.roadwork[rows]))


def reward_of(answers: Answers) -> Statistic:
    def reward(rows: NDArray[np.intp]) -> float:
        return expected_reward(sum(rates(answers.scores[rows], answers.roadwork[rows])) / 2)

    return reward


def format_figures(lines: Sequence[Figures]) -> str:
    """Markdown."""
    head = "| | MCC [95 %] | reward [95 %] | ms |"
    return "\n".join([head, "|---" * 4 + "|", *map(_format, lines)])


def _format(each: Figures) -> str:
    cost = "-" if each.cost_ms is None else f"{each.cost_ms:.1f}"
    cells = (each.name, ranged(each.mcc, each.mcc_95), ranged(each.reward, each.reward_95), cost)
    return "| " + " | ".join(cells) + " |"


def ranged(value: float, interval: Interval, sign: str = "") -> str:
    """A figure with its interval."""
    return f"{value:{sign}.3f} [{interval[0]:{sign}.3f} {interval[1]:{sign}.3f}]"


def by_class(values: Floats, roadwork: NDArray[np.bool_]) -> float:
    """Mean of `values` with both labels weighing a half; of all where one label is missing."""
    sides = [values[side] for side in (roadwork, ~roadwork) if side.any()]
    return float(np.mean([side.mean() for side in sides]))

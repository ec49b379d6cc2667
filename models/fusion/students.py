"""How the students of Meta Fusion learn: alone first, then from the best of them; torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from models.fusion.inputs import Inputs, fit_inputs
from models.fusion.meta import Meta, complete, subsets, with_gaps
from models.fusion.rows import Flags, Floats, Ints, Rows, balanced
from models.fusion.selection import Bench, greedy, top_cluster
from models.fusion.training import (
    descend,
    dropped,
    generator,
    hold_out,
    normal,
    soft_loss,
    tensors,
    tidy,
    weighted_loss,
)

HIDDEN = 32
STEPS = 150
BURN_IN = 30
RHOS = (0.3, 1.0, 3.0)


@dataclass
class Student:
    """One small network: `columns` of the input that it sees, and its parameters."""

    columns: Ints
    parameters: list[torch.Tensor]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(n, D + K) -> (n,) log-odds."""
        enter, enter_bias, leave, skip, bias = self.parameters
        own = x[:, self.columns]
        return torch.tanh(own @ enter.T + enter_bias) @ leave + own @ skip + bias


def begin(uses: Flags, owners: Ints, seed: int) -> Student:
    """A fresh student; the same for the same `seed` and sources `uses` (K,), whoever else there is."""
    columns = np.flatnonzero(np.concatenate([uses[owners], uses]))
    dice = generator(seed, *np.flatnonzero(uses).tolist())
    parameters = [
        normal((HIDDEN, len(columns)), len(columns) ** -0.5, dice),
        normal((HIDDEN,), 0.1, dice),
        normal((HIDDEN,), HIDDEN**-0.5 / 4, dice),
        normal((len(columns),), 0.01, dice),
        normal((), 0.01, dice),
    ]
    return Student(columns, parameters)


@dataclass(frozen=True)
class Lesson:
    """What the students learn from: training and validation rows behind the same `inputs`, for `steps`."""

    inputs: Inputs
    training: Rows
    validation: Rows
    seed: int
    steps: int = STEPS


@dataclass(frozen=True)
class Taught:
    """`states` per student at its best validation loss; `bench` what they then say about validation rows."""

    states: list[Student]
    bench: Bench


def teach(lesson: Lesson, uses: Flags, rho: float = 0.0, teachers: Floats | None = None) -> Taught:
    """Train all students `uses` (S, K) side by side.

    Loss of student i: its log-loss + rho * sum over j != i of d_j KL(p_j || p_i) / sum of d, the teachers
    `d` (S,) being detached, after a burn-in without it. Everybody sees the same dropped sources, which do
    not depend on who takes part: with rho = 0 nobody knows of anybody.
    """
    owners = lesson.inputs.owners
    students = [begin(each, owners, lesson.seed) for each in uses]
    x, there, target, weights = _data(lesson.inputs, lesson.training)
    dice = generator(lesson.seed, 1)
    best = _Best(lesson, students, uses)
    d = np.zeros(len(uses)) if teachers is None else teachers / teachers.sum()

    def loss(step: int) -> torch.Tensor:
        seen = _without(x, dropped(there, dice), owners)
        said = [student(seen) for student in students]
        total = sum((weighted_loss(each, target, weights) for each in said), torch.zeros(()))
        return total + rho * _mutual(said, d, weights) if rho and step >= BURN_IN else total

    descend([each for student in students for each in student.parameters], loss, lesson.steps, best.look)
    return Taught(best.states, best.bench())


def _data(inputs: Inputs, rows: Rows) -> tuple[torch.Tensor, ...]:
    x, there = inputs(rows)
    return tensors(x, there, rows, balanced(rows.roadwork))


def _without(x: torch.Tensor, there: torch.Tensor, owners: Ints) -> torch.Tensor:
    return torch.cat([x * there[:, owners], ~there], dim=1)


def _mutual(said: Sequence[torch.Tensor], d: Floats, weights: torch.Tensor) -> torch.Tensor:
    """Sum over students of the divergence from their teachers, up to a constant; 0 for one without any."""
    chances = [torch.sigmoid(each.detach()) for each in said]
    total = torch.zeros((), dtype=torch.float64)
    for index, own in enumerate(said):
        others = [each for each in np.flatnonzero(d).tolist() if each != index]
        if others:
            wanted = torch.stack([chances[each] * d[each] for each in others]).sum(dim=0)
            total = total + soft_loss(own, wanted, float(d[others].sum()), weights)
    return total


class _Best:
    """Keeps each student as it was at its best validation loss."""

    def __init__(self, lesson: Lesson, students: list[Student], uses: Flags) -> None:
        x, there = lesson.inputs(lesson.validation)
        self._x = torch.from_numpy(with_gaps(x, there))
        self._speaks = complete(there, uses)
        self._roadwork = lesson.validation.roadwork
        self._students = students
        self._losses = np.full(len(students), np.inf)
        self.states = list(students)

    def look(self, step: int) -> None:
        losses = self._bench(self._students).losses()
        for index in np.flatnonzero(losses < self._losses):
            now = self._students[index]
            self.states[index] = Student(now.columns, [each.detach().clone() for each in now.parameters])
        self._losses = np.minimum(losses, self._losses)

    def bench(self) -> Bench:
        return self._bench(self.states)

    def _bench(self, students: list[Student]) -> Bench:
        with torch.no_grad():
            said = torch.stack([student(self._x) for student in students], dim=1).numpy()
        return Bench(said, self._speaks, self._roadwork)


def fit_meta(rows: Rows, seed: int = 0, rhos: Sequence[float] = RHOS, steps: int = STEPS) -> Meta:
    """Alone; then, for each rho, again from the same start with the best cluster as teachers; the rho at
    which that cluster does best on validation rows (0 among them) is kept; greedy selection weighs them all.

    Raises ValueError for more than six sources.
    """
    inputs = fit_inputs(rows)
    uses = subsets(len(inputs.sources))
    lesson = Lesson(inputs, *hold_out(rows, seed), seed, steps)
    alone = teach(lesson, uses)
    top = top_cluster(alone.bench.losses())
    runs = {0.0: alone} | {rho: teach(lesson, uses, rho, top.astype(float)) for rho in rhos}
    rho = min(runs, key=lambda each: float(runs[each].bench.losses()[top].mean()))
    return _stack(inputs, uses, runs[rho], rho)


def _stack(inputs: Inputs, uses: Flags, taught: Taught, rho: float) -> Meta:
    width = len(inputs.owners) + uses.shape[1]
    enter, skip = np.zeros((len(uses), HIDDEN, width)), np.zeros((len(uses), width))
    for index, student in enumerate(taught.states):
        enter[index][:, student.columns] = student.parameters[0].detach().numpy()
        skip[index][student.columns] = student.parameters[3].detach().numpy()
    enter_bias, leave, bias = (
        np.stack([student.parameters[each].detach().numpy() for student in taught.states])
        for each in (1, 2, 4)
    )
    losses = taught.bench.losses()
    return Meta(
        inputs,
        uses.astype(float),
        tidy(enter.reshape(-1, width)),
        tidy(enter_bias.ravel()),
        tidy(leave),
        tidy(skip),
        tidy(bias),
        tidy(greedy(taught.bench, losses)),
        tidy(1 / losses),
        rho,
    )

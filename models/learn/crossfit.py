"""How long to train and how to calibrate, learned from sequences that the models in question never saw.

The collection is too small for four fixed parts, so three models each leave out a third of the sequences.
That third is halved again by sequence: one half chooses the step at which the other is judged. The judgements
so obtained calibrate; no sequence is ever judged by a model that was trained or stopped on it. Sources with
one label only stay in training throughout.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.learn.data import Example, grouped_folds, two_sided
from models.learn.fit import Network, Say, fit, judge_with
from models.learn.judge import ONCE, Answers, Judge, ask, join
from models.learn.loop import NOWHERE, Figures, Keep
from models.learn.metrics import Floats, label_weights, report
from models.learn.network import save
from models.learn.recipe import Recipe

Curve = dict[int, Answers]
"""Step -> what the model of that step said about the held-out sequences."""

Record = Callable[[int, Judge], Figures]
"""Asks the model of a step about the held-out sequences, and writes it down; figures for the log."""

Train = Callable[[int, Sequence[Example], Record], None]
"""Trains the model of a fold (from 1) on the examples given, and records at its checkpoints."""


@dataclass(frozen=True)
class CrossFit:
    """`answers` out of fold, raw; `steps` chosen, one per half fold; `step`: their median."""

    answers: Answers
    steps: tuple[int, ...]
    step: int

    def save(self, path: Path) -> None:
        """To one .npz file, from which `load_cross_fit` takes it again."""
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = {field.name: getattr(self.answers, field.name) for field in fields(Answers)}
        np.savez(path, steps=np.array(self.steps), step=np.array(self.step), **rows)


def load_cross_fit(path: Path) -> CrossFit:
    with np.load(path) as file:
        answers = Answers(*(file[field.name] for field in fields(Answers)))
        return CrossFit(answers, tuple(file["steps"].tolist()), int(file["step"]))


def cross_fit(
    examples: Sequence[Example],
    always: Sequence[Example],
    init: Path | None,
    recipe: Recipe,
    seed: int,
    say: Say,
    keep: Path | None = None,
    running: Keep = NOWHERE,
) -> CrossFit:
    """`always` (rendered scenes) takes part in every training and in no judgement.

    `keep`: folder for the networks, `fold-1` and so on, on which further members can be cross-fitted;
    `running`: where unfinished ones are kept, so that an interrupted cross-fit goes on.
    """

    def train(number: int, training: Sequence[Example], record: Record) -> None:
        def watch(step: int, network: Network) -> Figures:
            return record(step, judge_with(network))

        below = running.below(f"fold-{number}")
        run = fit([*training, *always], init, recipe, seed, watch=watch, say=say, keep=below)
        if keep:
            save(run.network, keep / f"fold-{number}")

    return judge_folds(examples, recipe.folds, train, say)


def judge_folds(examples: Sequence[Example], count: int, train: Train, say: Say) -> CrossFit:
    """Cross-fit whatever `train` trains; the same folds for every member, so their answers go together."""
    parts, steps = [], []
    for number, training, held in splits(examples, count):
        say(f"fold {number} of {count}: {len(training)} to train on, {len(held)} held out")
        curve: Curve = {}
        train(number, training, _recorder(curve, held, say))
        for answers, step in _each_half_chooses_for_the_other(curve, held):
            parts.append(answers)
            steps.append(step)
    return CrossFit(join(parts), tuple(steps), int(np.median(steps)))


def _recorder(curve: Curve, held: Sequence[Example], say: Say) -> Record:
    def record(step: int, judge: Judge) -> Figures:
        curve[step] = answers = ask(judge, held, ONCE)
        figures = report(answers.scores, answers.roadwork)
        say(f"step {step}: held out MCC {figures.mcc:.3f}, AUC {figures.auc:.3f}")
        return {"held_out/mcc": figures.mcc, "held_out/auc": figures.auc, "held_out/loss": log_loss(answers)}

    return record


def _each_half_chooses_for_the_other(curve: Curve, held: Sequence[Example]) -> list[tuple[Answers, int]]:
    first, second = ({example.sequence for example in half} for half in grouped_folds(held, 2, seed=0))
    chosen = []
    for chooser, judged in ((first, second), (second, first)):
        losses = {step: log_loss(_of(answers, chooser)) for step, answers in curve.items()}
        step = min(losses, key=lambda each: losses[each])
        chosen.append((_of(curve[step], judged), step))
    return chosen


def _of(answers: Answers, sequences: set[str]) -> Answers:
    return answers.pick(np.isin(answers.sequences, list(sequences)))


def in_halves(sequences: NDArray[np.str_], held: Sequence[Example]) -> NDArray[np.intp]:
    """The order in which `judge_folds` leaves the rows of a fold: the second half's sequences, then the
    first's."""
    first, second = ({example.sequence for example in half} for half in grouped_folds(held, 2, seed=0))
    return np.concatenate([np.flatnonzero(np.isin(sequences, list(half))) for half in (second, first)])


def held_out(examples: Sequence[Example], count: int) -> list[list[Example]]:
    """The folds of `judge_folds`."""
    open_sources = two_sided(examples)
    return grouped_folds([each for each in examples if each.source in open_sources], count, seed=0)


def splits(examples: Sequence[Example], count: int) -> Iterator[tuple[int, list[Example], list[Example]]]:
    """Number (from 1) of each fold, what is trained on, what is held out."""
    folds, open_sources = held_out(examples, count), two_sided(examples)
    fixed = [example for example in examples if example.source not in open_sources]
    for number, held in enumerate(folds, start=1):
        yield number, [each for other in folds if other is not held for each in other] + fixed, held


def row_weights(answers: Answers) -> Floats:
    """Adding up to 1: evenly over label and regime; within those, a source by the root of its rows."""
    cells = list(zip(answers.regimes, answers.roadwork, answers.sources, strict=True))
    counts = Counter(cells)
    weights = np.array([counts[cell] ** -0.5 for cell in cells])
    totals: Counter[tuple[object, object]] = Counter()
    for (regime, label, _), weight in zip(cells, weights, strict=True):
        totals[regime, label] += weight
    shares = [1 / (totals[regime, label] * len(totals)) for regime, label, _ in cells]
    shared: Floats = weights * np.array(shares)
    return shared


def log_loss(answers: Answers) -> float:
    """Mean negative log-likelihood, both labels weighing a half."""
    weights = label_weights(answers.roadwork)
    return float((weights * _losses(answers.scores, answers.roadwork)).sum())


def calibrated(answers: Answers, temperature: float, threshold: float) -> Answers:
    """With the log-odds that a member so calibrated says."""
    return answers.moved((answers.scores - np.log(threshold / (1 - threshold))) / temperature)


def _losses(scores: Floats, roadwork: NDArray[np.bool_]) -> Floats:
    return np.logaddexp(0, np.where(roadwork, -scores, scores))


def calibrate(scores: Floats, roadwork: NDArray[np.bool_], weights: Floats) -> tuple[float, float]:
    """(temperature, threshold): weighted Platt scaling, sigmoid((score - logit(threshold)) / temperature).

    Newton's method on slope and offset with a weak pull towards the identity, so that separable answers do
    not end at temperature 0. `weights` add up to 1; `threshold` is what `models.calibration` takes.
    """
    features = np.stack([scores, np.ones_like(scores)], axis=1)
    pull, prior = np.array([1e-2, 1e-3]), np.array([1.0, 0.0])
    slope = prior.copy()
    for _ in range(50):
        chances = 1 / (1 + np.exp(-np.clip(features @ slope, -50, 50)))
        gradient = features.T @ (weights * (chances - roadwork)) + pull * (slope - prior)
        curvature = (features * (weights * chances * (1 - chances))[:, None]).T @ features + np.diag(pull)
        change = np.linalg.solve(curvature, gradient)
        slope = slope - change
        slope[0] = max(slope[0], 0.05)
        if np.abs(change).max() < 1e-9:
            break
    temperature = 1 / float(slope[0])
    return temperature, float(1 / (1 + np.exp(slope[1] * temperature)))

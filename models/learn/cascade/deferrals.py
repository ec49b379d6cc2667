"""Learned deferral: gain models fitted on what everybody said out of fold, and whether they beat the band.

Everybody was asked about every challenge, so feedback is full: for each set of members that may have spoken
and each member left it is known whether asking it would have mended or spoilt the answer. Both rules get the
same mean cost; the learned one is chosen only if its MCC is above the band's beyond the interval.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from models import difficulty
from models.deferral import Deferral, price_for
from models.fusion.registry import Fitted
from models.fusion.rows import Flags, Floats, fit_scale
from models.fusion.training import folds
from models.gain import Gain, GainModel, Logistic, Tree, Trees
from models.learn.cascade.figures import Interval, by_class, difference
from models.learn.crossfit import held_out, in_halves
from models.learn.data import read
from models.learn.judge import Answers, pictures
from models.learn.metrics import label_weights
from models.learn.prefixes import FOLDS
from models.learn.recipe import Recipe
from models.learn.subsets import Subset, fused_by_subset, subsets
from models.learn.traces import Heard

HIGHEST = 1.0
"""Gain per millisecond that no member reaches."""


@dataclass(frozen=True)
class Moves:
    """Everything that could be asked next: `values` (N, d) of the features `names`, NaN where unknown;
    `gain` (N,) in {-1, 0, 1}; `row` (N,) of the challenge."""

    names: tuple[str, ...]
    values: Floats
    gain: Floats
    row: np.ndarray[tuple[int], np.dtype[np.intp]]

    def pick(self, keep: Flags) -> Moves:
        return Moves(self.names, self.values[keep], self.gain[keep], self.row[keep])


def states(heard: Heard, fused: Mapping[Subset, Floats]) -> Mapping[Subset, list[dict[str, float]]]:
    """Features of every challenge when exactly these have spoken."""
    said = [heard.evidence(row) for row in range(len(heard))]
    scenes = heard.scenes or ({},) * len(heard)
    return {
        subset: [
            {**scene, **difficulty.evidence([each for each in some if each.tier in subset], float(odds))}
            for some, scene, odds in zip(said, scenes, fused[subset], strict=True)
        ]
        for subset in fused
    }


def moves(
    member: str,
    known: Mapping[Subset, list[dict[str, float]]],
    fused: Mapping[Subset, Floats],
    roadwork: Flags,
) -> Moves:
    """All from sets without `member` to those with it."""
    before = [subset for subset in known if member not in subset]
    features = [each for subset in before for each in known[subset]]
    names = tuple(sorted({name for each in features for name in each}))
    right = {subset: (odds > 0) == roadwork for subset, odds in fused.items()}
    gains = [right[subset | {member}].astype(float) - right[subset] for subset in before]
    values = np.array([[each.get(name, np.nan) for name in names] for each in features])
    return Moves(names, values, np.concatenate(gains), np.tile(np.arange(len(roadwork)), len(before)))


def fit_gain(kind: str, found: Moves, roadwork: Flags, seed: int = 0) -> GainModel:
    """Both labels weigh a half."""
    scale = fit_scale(found.values)
    x = np.nan_to_num(scale(found.values))
    weights = label_weights(roadwork[found.row]) * len(found.row)
    model = FITS[kind](x, found.gain, weights, seed)
    return GainModel(found.names, tuple(scale.mean.tolist()), tuple(scale.spread.tolist()), model)


def _logistic(x: Floats, gain: Floats, weights: Floats, seed: int) -> Gain:
    return Logistic(_chances(x, gain > 0, weights), _chances(x, gain < 0, weights))


def _chances(x: Floats, happens: Flags, weights: Floats) -> tuple[float, ...]:
    """Weights and bias of P(it happens); that of a coin where it never or always does."""
    from sklearn.linear_model import LogisticRegression

    if happens.all() or not happens.any():
        return (*[0.0] * x.shape[1], 20.0 if happens.all() else -20.0)
    fitted = LogisticRegression(C=0.1, max_iter=500).fit(x, happens, sample_weight=weights)
    return (*fitted.coef_[0].tolist(), float(fitted.intercept_[0]))


def _trees(x: Floats, gain: Floats, weights: Floats, seed: int) -> Gain:
    from sklearn.ensemble import GradientBoostingRegressor

    boosted = GradientBoostingRegressor(
        n_estimators=100, max_depth=2, learning_rate=0.05, subsample=0.7, min_samples_leaf=40,
        random_state=seed,
    ).fit(x, gain, sample_weight=weights)  # fmt: skip
    start = float(boosted.init_.constant_.ravel()[0])
    rate = float(boosted.learning_rate)
    return Trees(start, tuple(_tree(each.tree_, rate) for each in boosted.estimators_[:, 0]))


def _tree(grown: Any, rate: float) -> Tree:
    """From sklearn's arrays, in which a leaf has no children."""
    leaf = grown.children_left < 0
    return Tree(
        tuple(np.where(leaf, -1, grown.feature).tolist()),
        tuple(np.where(leaf, 0.0, grown.threshold).tolist()),
        tuple(grown.children_left.tolist()),
        tuple(grown.children_right.tolist()),
        tuple((rate * grown.value[:, 0, 0]).tolist()),
    )


FITS: Mapping[str, Callable[[Floats, Floats, Floats, int], Gain]] = {"logistic": _logistic, "trees": _trees}


@dataclass(frozen=True)
class Walked:
    """n challenges as a rule led them: `scores` (n,) log-odds at the end, `asked` (n, M)."""

    scores: Floats
    asked: Flags

    def cost_ms(self, roadwork: Flags, costs: Sequence[float]) -> float:
        """Mean, both labels weighing a half."""
        return by_class((self.asked * np.asarray(costs)).sum(axis=1), roadwork)


def walk(
    members: Sequence[str],
    costs: Sequence[float],
    fused: Mapping[Subset, Floats],
    gains: Mapping[tuple[Subset, str], Floats],
    price: float,
) -> Walked:
    """From the first member on: the most gain per millisecond above `price`, as `models.deferral.choose`."""
    count = len(fused[frozenset(members[:1])])
    asked = np.zeros((count, len(members)), dtype=bool)
    asked[:, 0] = True
    scores = fused[frozenset(members[:1])].copy()
    open_rows = {frozenset(members[:1]): np.arange(count)}
    for subset in subsets(members):
        rows = open_rows.get(subset, np.arange(0))
        scores[rows] = fused[subset][rows]
        left = sorted((costs[at], name, at) for at, name in enumerate(members) if name not in subset)
        if not left or not len(rows):
            continue
        rates = np.stack([gains[subset, name][rows] / cost for cost, name, _ in left])
        best = np.argmax(rates, axis=0)
        for place, (_, name, at) in enumerate(left):
            going = rows[(best == place) & (rates[place] > price)]
            asked[going, at] = True
            onward = subset | {name}
            open_rows[onward] = np.concatenate([open_rows.get(onward, np.arange(0)), going])
    return Walked(scores, asked)


@dataclass(frozen=True)
class Tried:
    """A kind of gain model against the band at the same mean cost, out of fold: MCC over the band's."""

    kind: str
    price: float
    cost_ms: float
    over_band: float
    over_band_95: Interval

    @property
    def beats(self) -> bool:
        return self.over_band_95[0] > 0


def try_out(
    heard: Heard, fitted: Fitted, costs: Sequence[float], band: Answers, budget_ms: float, seed: int = 0
) -> tuple[list[Tried], Deferral]:
    """Every kind against `band`, what the band rule answers at a mean cost of `budget_ms`; and the best of
    them fitted on everything, whether it beats the band or not."""
    rows = heard.rows
    fused = fused_by_subset(fitted, rows, seed)
    known = states(heard, fused)
    possible = {name: moves(name, known, fused, rows.roadwork) for name in rows.members[1:]}
    tried = []
    for kind in FITS:
        gains = _out_of_fold(kind, possible, heard, known, seed)

        def spent(price: float, gains: Mapping[tuple[Subset, str], Floats] = gains) -> float:
            return walk(rows.members, costs, fused, gains, price).cost_ms(rows.roadwork, costs)

        price = price_for(spent, budget_ms, HIGHEST)
        found = walk(rows.members, costs, fused, gains, price)
        over, interval = difference(heard.answers(found.scores), band)
        tried.append(Tried(kind, price, found.cost_ms(rows.roadwork, costs), over, interval))
    best = max(tried, key=lambda each: (each.beats, each.over_band))
    return tried, finish(best, possible, heard, costs, seed)


def finish(
    best: Tried, possible: Mapping[str, Moves], heard: Heard, costs: Sequence[float], seed: int = 0
) -> Deferral:
    """Fitted on every row, at the price found out of fold."""
    gains = {name: fit_gain(best.kind, each, heard.rows.roadwork, seed) for name, each in possible.items()}
    cost_ms = dict(zip(heard.rows.members, map(float, costs), strict=True))
    return Deferral(gains, {name: cost_ms[name] for name in gains}, best.price, asdict(best))


def _out_of_fold(
    kind: str,
    possible: Mapping[str, Moves],
    heard: Heard,
    known: Mapping[Subset, list[dict[str, float]]],
    seed: int,
) -> Mapping[tuple[Subset, str], Floats]:
    """Gain of asking a member after a set, of every challenge, by models that saw no row of its sequence."""
    rows = heard.rows
    fold = folds(rows, FOLDS, seed)
    gains = {
        (subset, name): np.zeros(len(rows)) for subset in known for name in possible if name not in subset
    }
    for part in np.unique(fold):
        held = fold == part
        for name, each in possible.items():
            model = fit_gain(kind, each.pick(~held[each.row]), rows.roadwork, seed)
            for subset in (subset for subset in known if name not in subset):
                for row in np.flatnonzero(held):
                    gains[subset, name][row] = model.gain(known[subset][row])
    return gains


def with_pictures(heard: Heard, data: Path) -> Heard:
    """Answers out of fold with the difficulty of what was asked. Raises ValueError for other challenges."""
    scenes: list[dict[str, float]] = []
    sequences: list[str] = []
    for held in held_out(read(data, "train"), Recipe.folds):
        answers, found = pictures(held)
        order = in_halves(answers.sequences, held)
        scenes += [found[row] for row in order]
        sequences += answers.sequences[order].tolist()
    if sequences[: len(heard)] != heard.rows.groups.tolist():
        raise ValueError(f"the training split of {data} makes other challenges than those that were answered")
    return replace(heard, scenes=tuple(scenes[: len(heard)]))

"""What a fusion makes of any members that may have spoken, not only of the first few: for who is free to
choose whom to ask next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from models.fusion.registry import Fitted, fit
from models.fusion.rows import Floats, Rows
from models.fusion.training import folds
from models.learn.prefixes import FOLDS

Subset = frozenset[str]


def subsets(members: Sequence[str]) -> list[Subset]:
    """All that hold the first member, who is always asked; small ones first."""
    first, *others = members
    return [
        frozenset((first, *some)) for count in range(len(members)) for some in combinations(others, count)
    ]


def heard_only(rows: Rows, subset: Subset) -> Rows:
    """The same challenges when nobody else has spoken."""
    return replace(
        rows,
        log_odds=np.where([name in subset for name in rows.members], rows.log_odds, np.nan),
        features={
            name: each if name in subset else np.full_like(each, np.nan)
            for name, each in rows.features.items()
        },
    )


def fused_by_subset(fitted: Fitted, rows: Rows, seed: int = 0) -> Mapping[Subset, Floats]:
    """(n,) log-odds of each subset, out of fold: from fusions of its kind that saw no row of the sequence,
    with `fitted`'s calibration."""
    wanted = subsets(rows.members)
    found = {each: np.zeros(len(rows)) for each in wanted}
    fold = folds(rows, FOLDS, seed)
    for part in np.unique(fold):
        held = fold == part
        other = replace(fit(fitted.kind, rows.pick(~held), seed), calibration=fitted.calibration)
        for subset in wanted:
            found[subset][held] = other.log_odds(heard_only(rows.pick(held), subset))
    return found

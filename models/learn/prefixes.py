"""What a fusion makes of the first one, two, ... members: what is known at each possible exit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.fusion.registry import Fitted, fit
from models.fusion.rows import Floats, Rows
from models.fusion.training import folds

FOLDS = 5


def first(rows: Rows, count: int) -> Rows:
    """The same challenges before the other members spoke."""
    silent = set(rows.members[count:])
    return replace(
        rows,
        log_odds=np.where(np.arange(len(rows.members)) < count, rows.log_odds, np.nan),
        features={
            name: np.full_like(each, np.nan) if name in silent else each
            for name, each in rows.features.items()
        },
    )


def fused(fitted: Fitted, rows: Rows) -> Floats:
    """(n, M) fused log-odds after the first 1..M members."""
    return np.column_stack([fitted.log_odds(first(rows, count)) for count in range(1, len(rows.members) + 1)])


def fused_out_of_fold(fitted: Fitted, rows: Rows, seed: int = 0) -> Floats:
    """The same from fusions of its kind that saw no row of the sequence, with `fitted`'s calibration: two
    numbers of many."""
    fold = folds(rows, FOLDS, seed)
    found = np.zeros((len(rows), len(rows.members)))
    for part in np.unique(fold):
        held = fold == part
        other = fit(fitted.kind, rows.pick(~held), seed)
        found[held] = fused(replace(other, calibration=fitted.calibration), rows.pick(held))
    return found

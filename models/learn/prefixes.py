"""What a fusion makes of the first one, two, ... members: what is known at each possible exit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.fusion.registry import Fitted
from models.fusion.rows import Floats, Rows


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


def stacked(rows: Rows) -> Rows:
    """The challenges once for each number of members that have spoken, so that a fit learns what to make of
    a cascade that was left early."""
    parts = [first(rows, count) for count in range(1, len(rows.members) + 1)]
    return replace(
        rows,
        log_odds=np.concatenate([part.log_odds for part in parts]),
        roadwork=np.concatenate([part.roadwork for part in parts]),
        groups=np.concatenate([part.groups for part in parts]),
        features={name: np.concatenate([part.features[name] for part in parts]) for name in rows.features},
        views=None if rows.views is None else np.concatenate([rows.views] * len(parts)),
    )


def fused(fitted: Fitted, rows: Rows) -> Floats:
    """(n, M) fused log-odds after the first 1..M members."""
    return np.column_stack([fitted.log_odds(first(rows, count)) for count in range(1, len(rows.members) + 1)])

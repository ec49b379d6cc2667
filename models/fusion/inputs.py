"""Rows as the input of a network: standardised columns, gaps filled, and who is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from models.fusion.rows import REACH, Flags, Floats, Ints, Rows, Scale, clip, fit_scale

VIEWS = "views"
"""The source that pools the cameras, beside the members."""

WIDEST = 1e9
"""Raw features are clipped to this magnitude, so that a mean exists whatever a member says."""


@dataclass(frozen=True)
class Inputs:
    """K sources: the members, and the pooled cameras if `views` (numbers per camera) is not 0.

    `names` member -> its features; `scale` of the D columns: for each member its log-odds and features,
    then mean and largest of each number over the cameras.
    """

    members: tuple[str, ...]
    names: Mapping[str, tuple[str, ...]]
    views: int
    scale: Scale

    @property
    def sources(self) -> tuple[str, ...]:
        return (*self.members, VIEWS) if self.views else self.members

    @cached_property
    def owners(self) -> Ints:
        """(D,) index of the source of each column."""
        sizes = [1 + len(self.names.get(name, ())) for name in self.members]
        sizes += [2 * self.views] if self.views else []
        return np.repeat(np.arange(len(sizes)), sizes)

    def __call__(self, rows: Rows) -> tuple[Floats, Flags]:
        """(n, D) standardised, 0 for what is unknown, within +-REACH; (n, K) which sources are there.

        A member is there when its log-odds is; a feature that it did not give is the mean.
        """
        raw = columns(rows, self.members, self.names, self.views)
        there = rows.present
        if self.views:
            seen = np.asarray(~np.isnan(raw[:, -2 * self.views :]).all(axis=1))
            there = np.concatenate([there, seen[:, None]], axis=1)
        x = self.scale(raw)
        known = there[:, self.owners] & ~np.isnan(x)
        return clip(np.where(known, x, 0.0), REACH), there


def fit_inputs(rows: Rows) -> Inputs:
    views = 0 if rows.views is None else rows.views.shape[2]
    names = {name: tuple(rows.names[name]) for name in rows.features}
    return Inputs(rows.members, names, views, fit_scale(columns(rows, rows.members, names, views)))


def columns(rows: Rows, members: tuple[str, ...], names: Mapping[str, tuple[str, ...]], views: int) -> Floats:
    """(n, D) as they are, NaN for what is unknown."""
    blocks = []
    for index, name in enumerate(members):
        blocks.append(clip(rows.log_odds[:, index : index + 1], REACH))
        if name in names:
            unknown = np.full((len(rows), len(names[name])), np.nan)
            blocks.append(clip(rows.features.get(name, unknown), WIDEST))
    if views:
        blocks.append(np.full((len(rows), 2 * views), np.nan) if rows.views is None else pooled(rows.views))
    return np.concatenate(blocks, axis=1)


def pooled(views: Floats) -> Floats:
    """(n, V, d) -> (n, 2 d): mean and largest over the cameras that have the number, NaN where none has.

    Sorted first and added up one after the other, so that neither the order of the cameras nor absent ones
    change a bit.
    """
    n, _, d = views.shape
    last = np.full((n, 1, d), np.nan)
    ordered = np.sort(np.concatenate([clip(views, WIDEST), last], axis=1), axis=1)
    there = ~np.isnan(ordered)
    count = there.sum(axis=1)
    total = np.cumsum(np.where(there, ordered, 0.0), axis=1)[:, -1]
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    largest = np.where(there, ordered, -np.inf).max(axis=1)
    return np.concatenate([mean, np.where(count > 0, largest, np.nan)], axis=1)

"""What fitted fusions are asked about: the members' calibrated evidence, gaps included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from models.core import Evidence

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.intp]

REACH = 20.0
"""Log-odds are clipped to [-REACH, REACH] before a fit sees them: one overconfident member must not be an
outlier that bends everything."""


@dataclass(frozen=True)
class Rows:
    """n requests.

    `members`  names, cheap to dear; `log_odds` (n, M) calibrated, NaN where a member is absent.
    `features` member -> (n, d) more numbers of that member, NaN rows where absent; may be empty.
    `views`    (n, V, d) numbers per camera, NaN rows where a camera is absent; None without views.
    `roadwork` (n,) labels; `groups` (n,) sequences. Both are only looked at when fitting.
    """

    members: tuple[str, ...]
    log_odds: Floats
    roadwork: Flags
    groups: NDArray[np.str_]
    features: Mapping[str, Floats] = field(default_factory=dict)
    views: Floats | None = None

    def __post_init__(self) -> None:
        n = len(self.log_odds)
        if self.log_odds.shape != (n, len(self.members)):
            raise ValueError(f"log_odds {self.log_odds.shape} for {len(self.members)} members")
        if self.roadwork.shape != (n,) or self.groups.shape != (n,):
            raise ValueError("roadwork and groups must have a row per request")
        odd = [name for name, each in self.features.items() if each.ndim != 2 or len(each) != n]
        if odd or not set(self.features) <= set(self.members):
            raise ValueError(f"features must be (n, d) per member, not so: {odd or list(self.features)}")
        if self.views is not None and (self.views.ndim != 3 or len(self.views) != n):
            raise ValueError(f"views must be (n, V, d), not {self.views.shape}")

    def __len__(self) -> int:
        return len(self.log_odds)

    @property
    def present(self) -> Flags:
        """(n, M) who has spoken."""
        return ~np.isnan(self.log_odds)

    def pick(self, rows: Flags | Ints) -> Rows:
        return replace(
            self,
            log_odds=self.log_odds[rows],
            roadwork=self.roadwork[rows],
            groups=self.groups[rows],
            features={name: each[rows] for name, each in self.features.items()},
            views=None if self.views is None else self.views[rows],
        )

    def modality(self, member: str) -> Floats:
        """(n, 1 + d) log-odds and features of a member; NaN rows where any of it is missing."""
        own = np.clip(self.log_odds[:, [self.members.index(member)]], -REACH, REACH)
        parts = [own, self.features[member]] if member in self.features else [own]
        whole: Floats = np.concatenate(parts, axis=1)
        whole[np.isnan(whole).any(axis=1)] = np.nan
        return whole


def from_evidence(
    members: Sequence[str],
    evidence: Sequence[Evidence],
    names: Mapping[str, Sequence[str]] | None = None,
    views: Floats | None = None,
) -> Rows:
    """One row from what was said; members that are not among `members` are left out.

    `names` member -> which of its features, in order; one that is missing makes the row NaN.
    """
    heard = {item.tier: item for item in evidence}
    log_odds = [heard[name].log_odds if name in heard else np.nan for name in members]
    features = {
        name: np.array([[_feature(heard.get(name), each) for each in wanted]])
        for name, wanted in (names or {}).items()
    }
    return Rows(
        tuple(members),
        np.array([log_odds]),
        np.zeros(1, bool),
        np.array([""]),
        features,
        None if views is None else views[None],
    )


def _feature(item: Evidence | None, name: str) -> float:
    return float(item.features.get(name, np.nan)) if item is not None else float("nan")


def balanced(roadwork: Flags) -> Floats:
    """Weights that add up to n, half of it on each label that occurs."""
    weights = np.zeros(len(roadwork))
    sides = [side for side in (roadwork, ~roadwork) if side.any()]
    for side in sides:
        weights[side] = len(roadwork) / (len(sides) * side.sum())
    return weights


@dataclass(frozen=True)
class Scale:
    """Standardisation that ignores NaN: (x - `mean`) / `spread`, per column."""

    mean: Floats
    spread: Floats

    def __call__(self, x: Floats) -> Floats:
        scaled: Floats = (x - self.mean) / self.spread
        return scaled


def fit_scale(x: Floats) -> Scale:
    """Of the last axis, over the rows that are there; identity for a column without any or without spread."""
    flat = x.reshape(-1, x.shape[-1])
    there = ~np.isnan(flat)
    count = np.maximum(there.sum(axis=0), 1)
    mean = np.where(there, flat, 0).sum(axis=0) / count
    spread = np.sqrt((np.where(there, flat - mean, 0) ** 2).sum(axis=0) / count)
    return Scale(mean, np.where(spread > 1e-9, spread, 1.0))

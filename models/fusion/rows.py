"""What fitted fusions are asked about: the members' calibrated evidence, gaps included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from models.core import MAX_VIEWS, Evidence

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.intp]

REACH = 20.0
"""Log-odds are clipped to [-REACH, REACH] before a fit sees them: one overconfident member must not be an
outlier that bends everything."""


def clip(x: Floats, reach: float) -> Floats:
    """To [-reach, reach], NaN staying; several times as fast as numpy's own on a request's few numbers."""
    limited: Floats = np.minimum(np.maximum(x, -reach), reach)
    return limited


@dataclass(frozen=True)
class Rows:
    """n requests.

    `members`  names, cheap to dear; `log_odds` (n, M) calibrated, NaN where a member is absent.
    `features` member -> (n, d) more numbers of that member, NaN where unknown; may be empty.
    `names`    member -> what the columns of its `features` are called in its evidence.
    `views`    (n, V, d) numbers per camera, a row of NaN where a camera is absent; None without cameras.
               In service d = M: what each member said about the single view.
    `roadwork` (n,) labels; `groups` (n,) sequences. Both are only looked at when fitting.
    """

    members: tuple[str, ...]
    log_odds: Floats
    roadwork: Flags
    groups: NDArray[np.str_]
    features: Mapping[str, Floats] = field(default_factory=dict)
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    views: Floats | None = None

    def __post_init__(self) -> None:
        n = len(self.log_odds)
        if self.log_odds.shape != (n, len(self.members)) or len(set(self.members)) != len(self.members):
            raise ValueError(f"log_odds {self.log_odds.shape} for the members {', '.join(self.members)}")
        if self.roadwork.shape != (n,) or self.groups.shape != (n,):
            raise ValueError("roadwork and groups must have a row per request")
        odd = [name for name, each in self.features.items() if each.ndim != 2 or len(each) != n]
        if odd or not set(self.features) <= set(self.members):
            raise ValueError(f"features must be (n, d) per member, not so: {odd or list(self.features)}")
        unnamed = [
            name for name, each in self.features.items() if len(self.names.get(name, ())) != each.shape[1]
        ]
        if unnamed:
            raise ValueError(f"features without a name for each column: {', '.join(unnamed)}")
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

    def only(self, members: Sequence[str]) -> Rows:
        """These members in this order; the cameras only if those are all. Raises ValueError for others."""
        unknown = [name for name in members if name not in self.members]
        if unknown:
            raise ValueError(f"nothing is known of {', '.join(unknown)}, only of {', '.join(self.members)}")
        where = [self.members.index(name) for name in members]
        return replace(
            self,
            members=tuple(members),
            log_odds=self.log_odds[:, where],
            features={name: each for name, each in self.features.items() if name in members},
            names={name: each for name, each in self.names.items() if name in members},
            views=self.views if tuple(members) == self.members else None,
        )


_NOBODY = (np.zeros(1, bool), np.array([""]))


def from_evidence(
    members: tuple[str, ...], evidence: Sequence[Evidence], names: Mapping[str, tuple[str, ...]]
) -> Rows:
    """One row from what was said; members that are not among `members` are left out.

    `names` member -> which of its features, in order; one that it did not give is NaN. What a member said
    about each view comes as its features "view0" to "view5".
    """
    heard = {item.tier: item for item in evidence}
    log_odds = np.array([[heard[name].log_odds if name in heard else np.nan for name in members]])
    features = {name: np.array([_features(heard.get(name), wanted)]) for name, wanted in names.items()}
    return Rows(members, log_odds, *_NOBODY, features, names, _views(members, heard))


def _features(item: Evidence | None, wanted: Sequence[str]) -> list[float]:
    given = item.features if item is not None else {}
    return [given.get(name, np.nan) for name in wanted]


_VIEWS = tuple(f"view{index}" for index in range(MAX_VIEWS))


def _views(members: Sequence[str], heard: Mapping[str, Evidence]) -> Floats | None:
    """(1, 6, M), or None when nobody told views apart."""
    if not any("view0" in item.features for item in heard.values()):
        return None
    return np.array([_features(heard.get(name), _VIEWS) for name in members]).T[None]


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

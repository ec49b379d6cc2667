"""Requests followed through the whole cascade: what each prefix of the members would have said."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from models.certify.bounds import Floats

Flags = NDArray[np.bool_]
Ints = NDArray[np.intp]


@dataclass(frozen=True)
class Traces:
    """n labelled images on which every member was asked.

    `fused`      (n, K) log-odds after the first 1..K members, fused as in service; the last column is the
                 full ensemble. Finite.
    `roadwork`   (n,) labels; `sequences` (n,) which drive, clip or upload an image comes from.
    """

    fused: Floats
    roadwork: Flags
    sequences: NDArray[np.str_]

    def __post_init__(self) -> None:
        n = len(self.fused)
        if self.fused.ndim != 2 or self.roadwork.shape != (n,) or self.sequences.shape != (n,):
            raise ValueError("fused is (n, K), roadwork and sequences are (n,)")
        if not np.isfinite(self.fused).all():
            raise ValueError("log-odds must be finite: leave out images where a member failed")

    def __len__(self) -> int:
        return len(self.fused)

    @property
    def full(self) -> Flags:
        """What all members together decide."""
        return self.fused[:, -1] > 0

    @property
    def hash(self) -> str:
        """sha256 over the rows in hex; their order counts."""
        digest = sha256(repr(self.fused.shape).encode())
        digest.update(np.ascontiguousarray(self.fused, dtype="<f8").tobytes())
        digest.update(np.packbits(self.roadwork).tobytes())
        digest.update("\0".join(map(str, self.sequences)).encode())
        return digest.hexdigest()

    def pick(self, rows: Flags | Ints) -> Traces:
        return Traces(self.fused[rows], self.roadwork[rows], self.sequences[rows])

    def units(self, label: bool) -> Units:
        """The sequences that have images of this class."""
        rows = np.flatnonzero(self.roadwork == label)
        _, inverse, counts = np.unique(self.sequences[rows], return_inverse=True, return_counts=True)
        return Units(rows, inverse, counts)


@dataclass(frozen=True)
class Units:
    """Independent units of one class. `rows` of the traces, the unit of each, and how many each has."""

    rows: Ints
    inverse: Ints
    counts: Ints

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def single(self) -> bool:
        """Whether every unit is one image."""
        return bool((self.counts == 1).all())

    def means(self, values: Flags) -> Floats:
        """Mean of `values` (one per trace) in each unit."""
        sums = np.bincount(self.inverse, values[self.rows], minlength=len(self.counts))
        means: Floats = sums / self.counts
        return means

    def mean(self, values: Flags) -> float:
        """Mean over units of the mean in a unit; NaN without units."""
        return float(self.means(values).mean()) if len(self) else float("nan")


@dataclass(frozen=True)
class Thresholds:
    """(K - 1,) each: exit after tier k at a log-odds >= `upper[k]` or <= `lower[k]`."""

    lower: Floats
    upper: Floats


def never(exits: int) -> Thresholds:
    """Nobody leaves early."""
    return Thresholds(np.full(exits, -np.inf), np.full(exits, np.inf))


def follow(fused: Floats, thresholds: Thresholds) -> tuple[Flags, Ints]:
    """(decided roadwork, index of the last member asked) of each row."""
    early = fused[:, :-1]
    fires = (early >= thresholds.upper) | (early <= thresholds.lower)
    last = np.argmax(np.column_stack([fires, np.ones(len(fused), dtype=bool)]), axis=1)
    return fused[np.arange(len(fused)), last] > 0, last


def disagrees(traces: Traces, thresholds: Thresholds) -> Flags:
    """Where the cascade decides otherwise than all members together."""
    flags: Flags = follow(traces.fused, thresholds)[0] != traces.full
    return flags

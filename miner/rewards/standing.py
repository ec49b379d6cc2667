"""Where we stand with one validator, from what it asked and what we answered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from miner.rewards.twin import NO_ANSWER, Pair, Twin

LIMIT = 400
"""Challenges that a twin is made from: what came before weighs less than 0.95^300 in the score, 2e-7."""


Range = tuple[float, float]


class Seen(Protocol):
    """A challenge as its validator scores it: `ledger.asked.Asked`."""

    @property
    def at_ns(self) -> int: ...
    @property
    def prediction(self) -> float: ...
    @property
    def truth(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Standing:
    """A validator's score for us, and what it stands on.

    `worst`, `best`  the score, in [0, 1], if every label that is not known went against us or for us. Equal
                     when all are known: the score itself.
    `mcc`, `accuracy`  of its windows of 100 and 10 answers as they are now, least and largest likewise.
    `challenges`     used, of which `known` have a known label and `unanswered` got nothing from us in time.
    `last_ns`        when it asked last; None when it never did. `gap_s` between two challenges, usually.
    """

    worst: float = 0.0
    best: float = 0.0
    mcc: Range = (0.0, 0.0)
    accuracy: Range = (0.0, 0.0)
    challenges: int = 0
    known: int = 0
    unanswered: int = 0
    last_ns: int | None = None
    gap_s: float | None = None


def standing(seen: Sequence[Seen], until_ns: int | None = None) -> Standing:
    """From a validator's challenges, oldest first; with `until_ns` only what came before that moment."""
    used = [one for one in seen if until_ns is None or one.at_ns < until_ns][-LIMIT:]
    if not used:
        return Standing()
    worst, best = extremes((one.prediction, one.truth) for one in used)
    (long_worst, short_worst), (long_best, short_best) = worst.metrics(), best.metrics()
    return Standing(
        worst=worst.score,
        best=best.score,
        mcc=(long_worst.mcc, long_best.mcc),
        accuracy=(short_worst.accuracy, short_best.accuracy),
        challenges=len(used),
        known=sum(one.truth is not None for one in used),
        unanswered=sum(one.prediction == NO_ANSWER for one in used),
        last_ns=used[-1].at_ns,
        gap_s=usual_gap([one.at_ns for one in used]),
    )


def extremes(pairs: Iterable[tuple[float, int | None]]) -> tuple[Twin, Twin]:
    """The twins with the least and the largest score that (prediction, label) pairs allow; None: not known.

    They are reached when all unknown labels are wrong, or all right: with the predictions fixed, one more of
    them right never lowers a window's accuracy, nor its MCC where that is above 0 (with P and N predicted of
    either class, x and y of them right and L labels of class 1, MCC = (Nx + Py - PN) / sqrt(P N L (n - L)),
    whose logarithm grows with x by N / (Nx + Py - PN) - 1/(2L) + 1/(2(n - L)), which is above 0 since
    Nx + Py - PN <= Nx <= NL). For answers in [0, 1] and -1, which are all that we give.
    """
    known = list(pairs)
    worst = Twin.replay(_filled(known, right=False))
    if all(label is not None for _, label in known):
        return worst, worst
    return worst, Twin.replay(_filled(known, right=True))


def _filled(pairs: Iterable[tuple[float, int | None]], *, right: bool) -> list[Pair]:
    return [
        (prediction, int((prediction > 0.5) == right) if label is None else label)
        for prediction, label in pairs
    ]


def usual_gap(times_ns: Sequence[int]) -> float | None:
    """Mean seconds between two moments, the longest twentieth of the gaps left out: those were outages."""
    gaps = sorted((later - earlier) / 1e9 for earlier, later in pairwise(times_ns))
    kept = gaps[: max(1, len(gaps) - len(gaps) // 20)]
    return sum(kept) / len(kept) if kept else None

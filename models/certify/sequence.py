"""Fixed-sequence, class-conditional learn-then-test over the whole path of a cascade.

What is bounded, for each class c: the risk R_c = E[share of a sequence's images of class c on which the
cascade decides otherwise than all members together], over a randomly drawn sequence with such images. That
is conditional on the class, so it holds at any prior; and TPR and TNR fall by at most eps.

Images of a sequence resemble each other, so the sequence is the unit: its images' losses are averaged to one
number in [0, 1] and n is the number of sequences. Where each sequence is a single image the exact binomial
test is used, else Hoeffding-Bentkus, whose p-value is never too small. (A figure per image weighs long
sequences more and is another quantity: subsample long sequences when that one is wanted.)

Thresholds are tried from the strictest on (`ladder`, from other data) and the last one before the first
failure is taken; no correction is needed, and no monotone risk. A rung passes when both classes do: the
larger p-value is one for "either risk is above its eps" (intersection-union), so P(both risks <= eps) >=
1 - delta holds at the full delta.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from models.certify.bounds import Floats, binomial, hoeffding_bentkus, sample_size, sample_size_at_rate
from models.certify.certificate import Certificate, Exit, Side
from models.certify.ladder import ladder
from models.certify.point import OperatingPoint
from models.certify.traces import Flags, Thresholds, Traces, Units, disagrees, follow, never

MATTERS = 0.05
"""A rung begins to matter where this share of the calibration images leaves early."""


def p_value(units: Units, disagreement: Flags, eps: float) -> float:
    """Of "this class's risk is above eps"; 1 without units."""
    losses = units.means(disagreement)
    if units.single:
        return binomial(len(losses), int(losses.sum()), eps)
    return hoeffding_bentkus(len(losses), math.fsum(losses), eps)


def climb(
    calibrate: Traces, rungs: Sequence[Thresholds], eps: tuple[float, float], delta: float
) -> Thresholds | None:
    """The last rung before the first that fails for either class; None when the first one fails."""
    sides = [calibrate.units(label) for label in (False, True)]
    passed = None
    for rung in rungs:
        wrong = disagrees(calibrate, rung)
        if max(p_value(units, wrong, each) for units, each in zip(sides, eps, strict=True)) > delta:
            break
        passed = rung
    return passed


def certify(
    point: OperatingPoint,
    select: Traces,
    calibrate: Traces,
    *,
    eps: float | tuple[float, float],
    delta: float = 0.05,
    cost_ms: Sequence[float] | None = None,
    now: datetime | None = None,
) -> Certificate:
    """Certify `point`. `select` and `calibrate` share no sequence; ValueError if they do.

    `eps` for both classes or (none, roadwork); `cost_ms` per member, for the share of cost saved (equal costs
    if None). Without enough data the certificate allows no exit and says what it would take.
    """
    both = eps if isinstance(eps, tuple) else (eps, eps)
    _check(point, select, calibrate)
    rungs = ladder(select, both)
    passed = climb(calibrate, rungs, both, delta)
    thresholds = passed or never(len(point.members) - 1)
    costs = np.ones(len(point.members)) if cost_ms is None else np.asarray(cost_ms, dtype=np.float64)
    hint = _first_that_matters(calibrate, rungs)
    return Certificate(
        point=point,
        exits=tuple(
            Exit(member.name, float(low), float(high))
            for member, low, high in zip(point.members[:-1], thresholds.lower, thresholds.upper, strict=True)
        ),
        data=calibrate.hash,
        eps=both,
        delta=delta,
        sides=(
            _side(calibrate, False, thresholds, passed is not None, hint, both[0], delta),
            _side(calibrate, True, thresholds, passed is not None, hint, both[1], delta),
        ),
        saved=saved(calibrate, thresholds, costs),
        created=(now or datetime.now(UTC)).isoformat(timespec="seconds"),
    )


def _check(point: OperatingPoint, select: Traces, calibrate: Traces) -> None:
    for name, traces in (("select", select), ("calibrate", calibrate)):
        if traces.fused.shape[1] != len(point.members):
            raise ValueError(f"{name}: {traces.fused.shape[1]} columns for {len(point.members)} members")
    shared = np.intersect1d(select.sequences, calibrate.sequences)
    if len(shared):
        raise ValueError(f"{len(shared)} sequences are in both select and calibrate, e.g. {shared[0]}")


def saved(traces: Traces, thresholds: Thresholds, cost_ms: Floats) -> float:
    """Share of all members' cost that early exits save, both classes weighing a half; 0 without images."""
    spent = np.cumsum(cost_ms)[follow(traces.fused, thresholds)[1]]
    classes = (spent[traces.roadwork], spent[~traces.roadwork])
    sides = [float(each.mean()) for each in classes if len(each)]
    return 1 - float(np.mean(sides)) / float(cost_ms.sum()) if sides else 0.0


def _first_that_matters(calibrate: Traces, rungs: Sequence[Thresholds]) -> Thresholds | None:
    last = calibrate.fused.shape[1] - 1
    leaves = (rung for rung in rungs if (follow(calibrate.fused, rung)[1] < last).mean() >= MATTERS)
    return next(leaves, None) if len(calibrate) else None


def _side(
    calibrate: Traces,
    label: bool,
    thresholds: Thresholds,
    passed: bool,
    hint: Thresholds | None,
    eps: float,
    delta: float,
) -> Side:
    units = calibrate.units(label)
    wrong = disagrees(calibrate, thresholds)
    early = follow(calibrate.fused, thresholds)[1] < calibrate.fused.shape[1] - 1
    seen = units.mean(disagrees(calibrate, hint)) if hint is not None and len(units) else 0.0
    return Side(
        sequences=len(units),
        images=len(units.rows),
        disagreement=units.mean(wrong) if len(units) else 0.0,
        p_value=p_value(units, wrong, eps) if passed else 1.0,
        exits=units.mean(early) if len(units) else 0.0,
        right=units.mean(calibrate.full == label) if len(units) else 0.0,
        needed=sample_size(eps, delta),
        needed_at_rate=sample_size_at_rate(eps, delta, seen),
    )

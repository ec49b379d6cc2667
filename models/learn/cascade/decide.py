"""From what the members said out of fold to a fusion, its rivals, and what the certificate can promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from models.certify import Certificate, OperatingPoint
from models.certify.sequence import certify
from models.certify.traces import Traces
from models.fusion.choose import Choice, choose, fit_calibration
from models.fusion.registry import Fitted, fit
from models.fusion.rows import Floats, Rows
from models.fusion.training import folds
from models.learn.fit import Say
from models.learn.prefixes import fused_out_of_fold

EPS, DELTA = 0.05, 0.05
"""What a certificate is asked to promise: at most 5 % of either label decided otherwise, at 95 %."""


@dataclass(frozen=True)
class Fusions:
    """`choice` among the kinds; `fitted` kind -> as it would serve, the chosen one among them; `prefixes`
    (n, M) what the chosen kind says out of fold after the first 1..M members."""

    choice: Choice
    fitted: Mapping[str, Fitted]
    prefixes: Floats


def fuse(rows: Rows, kinds: Sequence[str], seed: int, say: Say) -> Fusions:
    """Compare `kinds` on everybody's answers, cross-fitted by sequence, and fit them all.

    Raises ValueError for fewer sequences than folds, or of one label.
    """
    choice = choose(rows, kinds, seed=seed, say=say)
    fitted = {choice.fitted.kind: choice.fitted}
    for kind in choice.raw.keys() - fitted.keys():
        applied = fit_calibration(choice.raw[kind], rows.roadwork)
        fitted[kind] = replace(fit(kind, rows, seed), calibration=applied)
    return Fusions(choice, fitted, fused_out_of_fold(choice.fitted, rows, seed))


def attempt(
    point: OperatingPoint,
    prefixes: Floats,
    rows: Rows,
    cost_ms: Sequence[float],
    seed: int = 0,
    now: datetime | None = None,
) -> Certificate:
    """The certificate that these sequences support: thresholds from one half of them, tested on the other.

    The networks that spoke out of fold are not those that are served. A certificate that allows an exit is
    therefore stripped of its exits: this shows what the data would support, and vouches for nothing.
    """
    traces = Traces(prefixes, rows.roadwork, rows.groups)
    half = folds(rows, 2, seed)
    select, test = traces.pick(half == 0), traces.pick(half == 1)
    found = certify(point, select, test, eps=EPS, delta=DELTA, cost_ms=cost_ms, now=now)
    return found.without_exits()


def sentence(certificate: Certificate, rows: Rows) -> str:
    """What was tried, and how many labelled sequences it would take."""
    there = [len(np.unique(rows.groups[rows.roadwork == label])) for label in (False, True)]
    needed = max(side.needed for side in certificate.sides)
    return (
        f"not certified: {there[0]} labelled sequences of 'none' and {there[1]} of 'roadwork' were heard out "
        f"of fold, half of them to choose thresholds. To promise at most {certificate.eps[0]:.0%} of changed "
        f"decisions at {1 - certificate.delta:.0%}, the other half alone needs {needed} of each when not one "
        "decision changes, and the models that are served must be the ones heard"
    )

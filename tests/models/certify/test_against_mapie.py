"""Learn-then-test beside MAPIE's: the same p-values, and the same thresholds from the same data."""

from __future__ import annotations

import mapie.risk_control as mapie
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapie.risk_control import methods

from models.certify.bounds import binomial, hoeffding_bentkus
from models.certify.ladder import ladder
from models.certify.sequence import climb, p_value
from models.certify.synthetic import WORLDS, population
from models.certify.traces import disagrees, follow

POWERS = st.sampled_from([16, 64, 256, 1024])
"""Sample sizes by which a mean divides exactly: MAPIE rounds mean * n up, float error included."""
EPS, DELTA = 0.05, 0.05


@settings(deadline=None, max_examples=60)
@given(POWERS, st.data(), st.floats(0.005, 0.5))
def test_p_values_are_mapies(n, data, alpha):
    losses = data.draw(st.integers(0, n))
    theirs = methods.compute_hoeffding_bentkus_p_value
    loose = theirs(np.array([losses / n]), n, alpha)[0, 0]
    assert hoeffding_bentkus(n, float(losses), alpha) == pytest.approx(min(loose, 1.0), rel=1e-9, abs=1e-300)
    if losses / n <= alpha:  # beyond, MAPIE's minimum with Hoeffding is 1
        exact = theirs(np.array([losses / n]), n, alpha, binary=True)[0, 0]
        assert binomial(n, losses, alpha) == pytest.approx(exact, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("seed", range(4))
def test_thresholds_are_mapies(world, seed):
    """Two risks, of changed decisions given either label, along one ladder: MAPIE computes the p-values of
    every rung and walks the fixed sequence, and ends where we do."""
    truth, rng = population(world, 2000), np.random.default_rng(seed)
    rungs = ladder(truth.draw(300, 0.5, rng), (EPS, EPS), 16)
    data = _single(truth.draw(1400, 0.5, rng))
    controller = mapie.BinaryClassificationController(
        predict_function=lambda rows, rung: _changed(data, rungs[int(rung)], rows),
        risk=[_risk(0), _risk(1)],
        target_level=[EPS, EPS],
        confidence_level=1 - DELTA,
        list_predict_params=np.arange(len(rungs), dtype=float)[:, None],
        fwer_method="bonferroni",
    )
    controller.calibrate(np.arange(len(data)), data.roadwork.astype(int))
    theirs = np.ravel(controller.p_values)
    ours = [_p(data, rung) for rung in rungs]
    assert ours == pytest.approx(theirs.tolist(), rel=1e-6, abs=1e-300)
    passed = mapie.control_fwer(theirs, DELTA, "fixed_sequence")
    found = climb(data, rungs, (EPS, EPS), DELTA)
    assert (found is None) == (len(passed) == 0)
    assert found is None or found is rungs[int(max(passed))]


def test_the_thresholds_compared_do_leave_early():
    truth, rng = population("steady", 2000), np.random.default_rng(0)
    rungs = ladder(truth.draw(300, 0.5, rng), (EPS, EPS), 16)
    data = _single(truth.draw(1400, 0.5, rng))
    found = climb(data, rungs, (EPS, EPS), DELTA)
    assert found is not None and (follow(data.fused, found)[1] < data.fused.shape[1] - 1).mean() > 0.2


def _single(traces, count=512):
    """One image of each sequence, as many of either label as divide exactly."""
    _, first = np.unique(traces.sequences, return_index=True)
    alone = traces.pick(first)
    return alone.pick(np.concatenate([np.flatnonzero(alone.roadwork == each)[:count] for each in (0, 1)]))


def _risk(label):
    """Share of changed decisions among the images of a label."""
    return mapie.BinaryRisk(
        risk_occurrence=lambda y_true, y_pred: y_pred == 1,
        risk_condition=lambda y_true, y_pred: y_true == label,
        higher_is_better=False,
    )


def _changed(data, rung, rows):
    return disagrees(data, rung).astype(int)[np.ravel(rows).astype(int)]


def _p(data, rung):
    wrong = disagrees(data, rung)
    return max(p_value(data.units(label), wrong, EPS) for label in (False, True))

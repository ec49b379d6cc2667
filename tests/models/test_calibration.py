import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.calibration import LIMIT, MARGIN, Calibration, clamp, logit, probability, read, shift, sigmoid

chances = st.floats(0.001, 0.999)
temperatures = st.floats(0.1, 20)  # the clamp stays out of reach
log_odds = st.floats(-30, 30)


@given(chances, temperatures)
def test_the_best_threshold_lands_on_one_half(threshold, temperature):
    calibration = Calibration(temperature, threshold)
    assert calibration.apply(logit(threshold)) == 0
    assert calibration.apply(logit(threshold) + 1e-3) > 0 > calibration.apply(logit(threshold) - 1e-3)


@given(log_odds, chances, temperatures)
def test_invert_undoes_apply(value, threshold, temperature):
    calibration = Calibration(temperature, threshold)
    assert calibration.invert(calibration.apply(value)) == pytest.approx(value, abs=1e-9)


@given(log_odds, log_odds, chances, temperatures)
def test_calibration_keeps_the_order(a, b, threshold, temperature):
    calibration = Calibration(temperature, threshold)
    if a < b:
        assert calibration.apply(a) <= calibration.apply(b)


@given(chances, chances, st.floats(0.01, 0.99))
def test_a_shift_of_the_prior_is_bayes_rule(p, prior, new):
    moved = sigmoid(shift(logit(p), prior, new))
    works, none = p / prior * new, (1 - p) / (1 - prior) * (1 - new)
    assert moved == pytest.approx(works / (works + none))


@given(log_odds, st.floats(0.01, 0.99), st.floats(0.2, 5), st.floats(0.01, 0.99))
def test_calibration_at_another_prior_is_the_shift_after_it(value, threshold, temperature, prior):
    calibration = Calibration(temperature, threshold)
    found = calibration.at_prior(prior).apply(value)
    assert found == pytest.approx(shift(calibration.apply(value), 0.5, prior), abs=1e-6)
    assert calibration.at_prior(0.5).threshold == pytest.approx(threshold)


def test_the_identity_changes_nothing():
    assert Calibration().apply(1.25) == 1.25


@given(chances)
def test_sigmoid_undoes_logit(p):
    assert sigmoid(logit(p)) == pytest.approx(p, rel=1e-12)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_probability_is_finite_and_never_a_tie(value):
    p = probability(value)
    assert 0 <= p <= 1
    assert abs(p - 0.5) >= MARGIN * 0.999
    assert (p > 0.5) == (value > 0)


@given(log_odds, log_odds)
def test_a_probability_keeps_the_order(a, b):
    if a < b:
        assert probability(a) <= probability(b)


def test_extremes_are_limited():
    assert clamp(1e308) == LIMIT and clamp(-math.inf) == -LIMIT
    assert probability(1e308) == 1 and probability(-1e308) == 0
    assert Calibration(1e-300).apply(5) == LIMIT


@pytest.mark.parametrize(
    "options", [(0, 0.5), (-1, 0.5), (math.nan, 0.5), (math.inf, 0.5), (1, 0), (1, 1), (1, math.nan)]
)
def test_absurd_calibrations_are_refused(options):
    with pytest.raises(ValueError, match=r"temperature|threshold"):
        Calibration(*options)


def test_a_file_is_read_and_a_missing_one_is_the_identity(tmp_path):
    path = tmp_path / "calibration.json"
    assert read(path) == Calibration()
    path.write_text('{"temperature": 2, "threshold": 0.7, "fitted_on": "cross-fitting"}')
    assert read(path) == Calibration(2.0, 0.7)
    path.write_text('{"threshold": 0.3}')
    assert read(path) == Calibration(1.0, 0.3)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"threshold": "0.5"}', '{"temperature": true}', '{"threshold": 2}']
)
def test_a_broken_file_is_named(tmp_path, text):
    path = tmp_path / "calibration.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"calibration\.json"):
        read(path)

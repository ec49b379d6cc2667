import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import matthews_corrcoef
from test_certificate import SIDE, certificate

from models.certify.mcc import floor, mcc, promise
from models.learn.metrics import balanced_mcc

RATES = st.floats(0.01, 0.99)


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 50), st.integers(1, 50))
def test_it_is_matthews_correlation(tp, fn, tn, fp):
    truth, said = [1] * (tp + fn) + [0] * (tn + fp), [1] * tp + [0] * fn + [0] * tn + [1] * fp
    found = mcc(tp / (tp + fn), tn / (tn + fp), (tp + fn) / len(truth))
    assert found == pytest.approx(matthews_corrcoef(truth, said), abs=1e-9)


@given(RATES, RATES)
def test_at_equal_prevalence_it_is_the_subnets(tpr, tnr):
    assert mcc(tpr, tnr, 0.5) == pytest.approx(balanced_mcc(tpr, tnr))


@pytest.mark.parametrize(("prior", "expected"), [(0.5, 0.930), (0.83, 0.913), (0.05, 0.686)])
def test_the_same_model_at_other_priors(prior, expected):
    assert mcc(0.98, 0.95, prior) == pytest.approx(expected, abs=5e-4)


@given(
    st.floats(0.6, 0.99), st.floats(0.6, 0.99), st.floats(0.01, 0.99), st.floats(0, 0.05), st.floats(0, 0.05)
)
def test_the_worst_corner_is_the_worst(tpr, tnr, prior, less, lesser):
    assert mcc(tpr - 0.05, tnr - 0.05, prior) <= mcc(tpr - less, tnr - lesser, prior) + 1e-12


def test_what_a_certificate_leaves_of_it():
    before, after = floor(certificate(), 0.5)
    assert before == pytest.approx(mcc(SIDE.right, SIDE.right, 0.5))
    assert after == pytest.approx(mcc(SIDE.right - 0.02, SIDE.right - 0.01, 0.5)) and after < before
    never = floor(certificate().without_exits(), 0.5)
    assert never[0] == never[1], "who never leaves early loses nothing"


def test_the_operator_is_told_it_at_the_prior_that_is_asked():
    whole, least = floor(certificate(), 0.15)
    said = promise(certificate(), 0.15)
    assert "15% of the questions" in said and f"{whole:.3f}" in said and f"at least {least:.3f}" in said


def test_a_constant_answer_is_worth_nothing():
    assert mcc(1.0, 0.0, 0.3) == 0 == mcc(0.9, 0.9, 0.0)

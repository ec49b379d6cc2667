"""Our p-values against scipy's binomial and the definitions worked out independently."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from models.certify.bounds import binomial, binomial_cdf, hoeffding_bentkus, sample_size, sample_size_at_rate

ALPHAS = st.floats(0.001, 0.6)


@settings(deadline=None)
@given(st.integers(1, 3000), ALPHAS)
def test_binomial_tables_agree_with_scipy(n, alpha):
    assert np.allclose(binomial_cdf(n, alpha), binom.cdf(np.arange(n + 1), n, alpha), rtol=1e-9, atol=1e-14)


@settings(deadline=None)
@given(st.integers(1, 400), st.floats(0, 1), ALPHAS)
def test_hoeffding_bentkus_is_the_formula(n, mean, alpha):
    total = mean * n
    x = min(total / n, alpha)
    h = (x * math.log(x / alpha) if x else 0) + (1 - x) * math.log((1 - x) / (1 - alpha))
    expected = min(1, math.exp(-n * h), math.e * binom.cdf(min(math.ceil(total), n), n, alpha))
    assert hoeffding_bentkus(n, total, alpha) == pytest.approx(expected, rel=1e-9)


@settings(deadline=None)
@given(st.integers(1, 400), st.data(), ALPHAS)
def test_the_bound_for_any_losses_is_never_below_the_exact_one(n, data, alpha):
    losses = data.draw(st.integers(0, n))
    assert hoeffding_bentkus(n, losses, alpha) >= binomial(n, losses, alpha) * (1 - 1e-9)


def test_without_a_loss_both_are_equal():
    assert hoeffding_bentkus(300, 0.0, 0.01) == pytest.approx(binomial(300, 0, 0.01))


def test_without_data_nothing_is_shown():
    assert binomial(0, 0, 0.1) == hoeffding_bentkus(0, 0.0, 0.1) == 1


@pytest.mark.parametrize(
    ("alpha", "sizes"),
    [(0.01, (299, 473, 773, 1693)), (0.005, (598, 947, 1549, 3389)), (0.001, (2995, 4742, 7752, 16959))],
)
def test_sample_sizes(alpha, sizes):
    assert tuple(sample_size(alpha, 0.05, losses) for losses in (0, 1, 3, 10)) == sizes


def test_sample_sizes_at_a_rate():
    assert sample_size_at_rate(0.01, 0.05, 0.0) == 299
    n = sample_size_at_rate(0.01, 0.05, 0.004)
    assert binom.cdf(math.ceil(n * 0.004), n, 0.01) <= 0.05
    assert sample_size_at_rate(0.01, 0.05, 0.01) is None
    assert sample_size_at_rate(0.01, 0.05, 0.00999) is None, "closer than a million images can tell"

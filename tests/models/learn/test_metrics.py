"""Figures that decide which model serves, against scikit-learn and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import matthews_corrcoef, roc_auc_score

from models.learn.metrics import (
    balanced_mcc,
    bootstrap,
    calibration_error,
    expected_reward,
    label_weights,
    report,
)

ROWS = st.lists(st.tuples(st.integers(-40, 40), st.booleans()), min_size=2, max_size=60).filter(
    lambda rows: len({label for _, label in rows}) == 2
)


@settings(deadline=None)
@given(ROWS)
def test_mcc_and_auc_agree_with_scikit_learn(rows):
    scores = np.array([score / 4 for score, _ in rows])
    labels = np.array([label for _, label in rows])
    found = report(scores, labels)
    weights = label_weights(labels)
    assert found.mcc == pytest.approx(matthews_corrcoef(labels, scores > 0, sample_weight=weights), abs=1e-9)
    assert found.auc == pytest.approx(roc_auc_score(labels, scores))
    assert found.accuracy == pytest.approx(weights[(scores > 0) == labels].sum())


def test_a_score_of_exactly_zero_counts_as_none():
    assert report([0.0, 0.0], [True, False]).tpr == 0


@pytest.mark.parametrize(
    ("tpr", "tnr", "mcc"), [(1, 1, 1), (0, 0, -1), (0.9, 0.9, 0.8), (1, 0, 0), (0, 1, 0)]
)
def test_balanced_mcc_by_hand(tpr, tnr, mcc):
    assert balanced_mcc(tpr, tnr) == pytest.approx(mcc)


def test_prevalence_changes_nothing():
    scores, labels = np.array([2.0, -1.0, -2.0, 1.0]), np.array([True, True, False, False])
    many = np.concatenate([[0, 1], np.repeat([2, 3], 20)])
    assert report(scores[many], labels[many]).mcc == pytest.approx(report(scores, labels).mcc)


@pytest.mark.parametrize(("accuracy", "reward"), [(1, 1), (0.9, 0.614), (0.5, 0.016), (0.2, 0)])
def test_expected_reward_matches_the_measured_table(accuracy, reward):
    assert expected_reward(accuracy) == pytest.approx(reward, abs=5e-4)


def test_calibration_error_is_small_for_honest_chances_and_large_for_overconfident_ones():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 2, 20_000)
    labels = rng.random(20_000) < 1 / (1 + np.exp(-scores))
    assert calibration_error(scores, labels) < 0.02
    assert calibration_error(4 * scores, labels) > 0.08


def test_one_label_only_gives_no_figure_that_needs_both():
    found = report([1.0, -1.0], [True, True])
    assert found.tpr == 0.5
    assert np.isnan([found.tnr, found.mcc, found.auc, found.reward]).all()
    assert found.to_json()["mcc"] is None and found.to_json()["tpr"] == 0.5


@pytest.mark.parametrize(
    ("scores", "labels"), [([], []), ([1.0], [True, False]), ([float("nan")], [True]), ([[1.0]], [[True]])]
)
def test_nonsense_is_refused(scores, labels):
    with pytest.raises(ValueError):
        report(scores, labels)


def test_bootstrap_draws_whole_groups():
    values = np.array([0.0, 0.0, 0.0, 1.0])
    groups = ["a", "a", "a", "b"]
    seen = set()
    low, high = bootstrap(groups, lambda rows: seen.add(len(rows)) or float(values[rows].mean()), draws=200)
    assert seen == {2, 4, 6}
    assert (low, high) == (0.0, 1.0)
    assert bootstrap(groups, lambda rows: float(values[rows].mean()), draws=50) == bootstrap(
        groups, lambda rows: float(values[rows].mean()), draws=50
    )


def test_bootstrap_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for trial in range(100):
        values = rng.normal(size=(30, 1)).repeat(3, axis=1).ravel()
        groups = np.arange(30).repeat(3).astype(str).tolist()
        low, high = bootstrap(groups, lambda rows, v=values: float(v[rows].mean()), draws=200, seed=trial)
        hits += low <= 0 <= high
    assert 85 <= hits <= 100


def test_bootstrap_without_a_defined_draw_says_so():
    assert all(np.isnan(bootstrap(["a", "b"], lambda rows: float("nan"), draws=5)))

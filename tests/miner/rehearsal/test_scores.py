"""Windows, averages and weights by uid, and the counts of a run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.rehearsal.dendrite import Reply
from miner.rehearsal.scores import Scores
from miner.rehearsal.tally import Tally, percentile


def test_a_perfect_miner_earns_an_eighth_until_both_classes_have_come():
    scores = Scores("validator")
    first = scores.observe(4, "a", 0.9, 1)
    assert (first.reward, first.score) == (pytest.approx(0.125), pytest.approx(0.05 * 0.125))
    second = scores.observe(4, "a", 0.1, 0)
    assert (second.mcc, second.accuracy, second.reward) == (1.0, 1.0, pytest.approx(1.0))
    assert second.score == pytest.approx(0.05 + 0.95 * first.score)
    assert scores.standing(4) == second


def test_weights_follow_the_averages_and_leave_out_the_worthless():
    scores = Scores("validator")
    assert scores.weights() == {}
    for number in range(40):
        label = number % 2
        scores.observe(1, "good", float(label), label)
        scores.observe(2, "timid", float(label) if number % 4 else -1.0, label)
        scores.observe(3, "gone", -1.0, label)
    weights = scores.weights()
    assert set(weights) == {1, 2}
    assert sum(weights.values()) == pytest.approx(1.0)
    assert weights[1] > weights[2] > 0


def test_another_hotkey_on_the_same_uid_starts_over():
    scores = Scores("validator")
    for number in range(20):
        scores.observe(1, "old", float(number % 2), number % 2)
    new = scores.observe(1, "new", 0.9, 1)
    assert new == Scores("validator").observe(1, "new", 0.9, 1)


def test_tally_counts_what_became_of_each_challenge():
    tally = Tally()
    tally.add(Reply(200, 0.9, 10.0), 1)
    tally.add(Reply(200, 0.9, 30.0), 0)
    tally.add(Reply(200, -1.0, 20.0, "bad reply"), 1)
    tally.add(Reply(503, -1.0, 1.0, "shed"), 1)
    tally.add(Reply(401, -1.0, 1.0, "stale"), 1)
    tally.add(Reply(0, -1.0, 9000.0, "timeout"), 1)
    summary = tally.summary(2.0)
    assert {k: summary[k] for k in ("challenges", "answered", "shed", "refused", "lost")} == {
        "challenges": 6,
        "answered": 2,
        "shed": 1,
        "refused": 1,
        "lost": 2,
    }
    assert summary["statuses"] == {"200": 3, "401": 1, "503": 1, "timeout": 1}
    assert (summary["accuracy"], summary["answered_per_s"]) == (0.5, 1.0)
    assert (summary["p50_ms"], summary["p95_ms"], summary["max_ms"]) == (10.0, 30.0, 30.0)


def test_a_run_without_answers_has_no_latencies():
    summary = Tally().summary(0.0)
    assert summary["p50_ms"] is summary["p95_ms"] is summary["accuracy"] is None


@given(st.lists(st.floats(0, 1e4), min_size=1), st.floats(0.01, 1.0))
def test_percentile_is_a_value_that_the_share_does_not_exceed(values, share):
    found = percentile(values, share)
    assert sum(round(v, 2) <= found for v in values) >= share * len(values) - 1e-9
    assert found in {round(v, 2) for v in values}

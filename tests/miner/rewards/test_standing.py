"""Where we stand with a validator: exact when labels are known, honest bounds when they are not."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from miner.rewards.standing import LIMIT, extremes, standing, usual_gap
from miner.rewards.twin import Twin

S = 10**9


@dataclass(frozen=True)
class Seen:
    at_ns: int
    prediction: float
    truth: int | None


answers = st.sampled_from([0.0, 0.2, 0.5, 0.51, 0.9, 1.0, -1.0])
labels = st.sampled_from([0, 1, None])


@settings(max_examples=60)
@given(st.lists(st.tuples(answers, labels), max_size=14), st.data())
def test_no_labels_lead_out_of_the_bounds_and_some_reach_them(pairs, data):
    unknown = [n for n, (_, label) in enumerate(pairs) if label is None][-7:]
    pairs = [(p, 0 if label is None and n not in unknown else label) for n, (p, label) in enumerate(pairs)]
    worst, best = (twin.score for twin in extremes(pairs))
    scores = []
    for guess in itertools.product((0, 1), repeat=len(unknown)):
        filled = dict(zip(unknown, guess, strict=True))
        scores.append(Twin.replay((p, filled.get(n, label)) for n, (p, label) in enumerate(pairs)).score)
    assert abs(min(scores) - worst) < 1e-12 and abs(max(scores) - best) < 1e-12


def test_with_all_labels_known_both_bounds_are_the_score():
    seen = [Seen(n * S, 0.9 if n % 3 else 0.1, n % 2) for n in range(150)]
    found = standing(seen)
    assert found.worst == found.best == Twin.replay((s.prediction, s.truth) for s in seen).score > 0
    assert (found.challenges, found.known, found.unanswered) == (150, 150, 0)
    assert found.mcc[0] == found.mcc[1] and found.accuracy[0] == found.accuracy[1] > 0


def test_what_lies_far_back_does_not_matter():
    seen = [Seen(n * S, 0.9 if n % 3 else 0.1, n % 2) for n in range(5 * LIMIT)]
    whole = Twin.replay((s.prediction, s.truth) for s in seen).score
    assert abs(standing(seen).best - whole) < 1e-6


def test_without_labels_timeouts_alone_are_sure():
    silent = standing([Seen(n * S, -1.0, None) for n in range(50)])
    assert (silent.worst, silent.best, silent.unanswered) == (0.0, 0.0, 50)
    answering = standing([Seen(n * S, float(n % 2), None) for n in range(120)])
    assert answering.worst == 0.0 and answering.best > 0.9
    assert answering.mcc == (0.0, 1.0) and answering.accuracy == (0.0, 1.0)


def test_only_what_came_before_a_moment_counts():
    seen = [Seen(n * S, float(n % 2), n % 2) for n in range(100)]
    assert standing(seen, until_ns=40 * S) == standing(seen[:40])
    assert standing(seen, until_ns=0).last_ns is None


def test_an_outage_does_not_make_the_usual_gap_longer():
    times = [n * 60 * S for n in range(50)]
    assert usual_gap(times) == 60
    assert usual_gap([*times, times[-1] + 86_400 * S]) == 60
    assert usual_gap([]) is None and usual_gap([5]) is None

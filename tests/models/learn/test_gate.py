"""Who may take the champion's place."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.learn.gate import GateEvidence, Paired, Rules, decide, e_value, e_values, loss_bound

RULES = Rules()


def judged(rng, truth, accuracy, size=3.0):
    right = rng.random(len(truth)) < accuracy
    return np.where(right == truth, size, -size) * rng.uniform(0.8, 1.2, len(truth))


def items(rng, count, champion, challenger):
    truth = np.arange(count) % 2 == 0
    return Paired(truth, judged(rng, truth, champion), judged(rng, truth, challenger))


def test_one_that_is_no_better_is_promoted_in_at_most_one_of_twenty_whatever_is_looked_at():
    rng = np.random.default_rng(0)
    runs, length = 2000, 2000
    gains = rng.choice([-1.0, 0.0, 1.0], size=(runs, length), p=[0.05, 0.9, 0.05])
    ever = np.mean([e_values(row).max() >= RULES.e_value for row in gains])
    assert ever <= 0.05


@pytest.mark.parametrize("worse", [0.0, 0.02])
def test_the_whole_gate_asked_after_every_batch_lets_no_more_through(worse):
    rng = np.random.default_rng(1)
    promoted = 0
    for _ in range(200):
        all_of_them = items(rng, 600, 0.9, 0.9 - worse)
        promoted += any(decide(GateEvidence(first(all_of_them, n))).promote for n in range(50, 601, 50))
    assert promoted / 200 <= 0.05


def first(paired, count):
    return Paired(paired.roadwork[:count], paired.champion[:count], paired.challenger[:count])


def test_one_that_is_really_better_is_promoted():
    rng = np.random.default_rng(2)
    said = decide(
        GateEvidence(items(rng, 800, 0.85, 0.95), items(rng, 100, 0.95, 1.0), (20.0,) * 9, (22.0,) * 9)
    )
    assert said.promote
    assert said.e_value >= 20
    assert said.reasons[0].startswith("better: E ")


def test_the_product_by_hand():
    assert e_value(np.array([1.0, 0.0, -1.0])) == pytest.approx(
        np.mean([(1 + share) * (1 - share) for share in (0.1, 0.2, 0.4, 0.6)])
    )
    assert e_value(np.array([])) == 1


@settings(deadline=None)
@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=300))
def test_running_values_are_those_of_each_prefix(gains):
    running = e_values(np.array(gains))
    assert running[-1] == pytest.approx(e_value(np.array(gains)))
    assert (running > 0).all()
    assert np.isfinite(running).all()


def test_ten_thousand_wins_are_still_a_number():
    assert np.isfinite(e_value(np.ones(10_000)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_answers_that_are_no_numbers_are_refused_with_the_reason(value):
    paired = items(np.random.default_rng(3), 800, 0.85, 0.97)
    paired.challenger[7] = value
    said = decide(GateEvidence(paired))
    assert not said.promote
    assert "no finite number" in said.reasons[0]
    assert not decide(GateEvidence(items(np.random.default_rng(3), 800, 0.8, 1.0), first(paired, 20))).promote


def test_a_gain_on_one_class_does_not_pay_for_the_other():
    truth = np.arange(800) % 2 == 0
    champion = np.where(truth, -1.0, -1.0)
    challenger = np.where(np.arange(800) % 40 == 1, 1.0, np.where(truth, 1.0, -1.0))
    said = decide(GateEvidence(Paired(truth, champion, challenger)))
    assert said.e_value > 20
    assert not said.promote
    assert any("on none" in reason for reason in said.reasons)


def test_one_class_alone_shows_nothing_of_the_other():
    truth = np.ones(400, bool)
    said = decide(GateEvidence(Paired(truth, np.full(400, -1.0), np.ones(400))))
    assert not said.promote
    assert any("of 0" in reason for reason in said.reasons)


def test_overconfidence_forgetting_and_slowness_each_have_their_reason():
    rng = np.random.default_rng(4)
    good = items(rng, 800, 0.85, 0.95)
    honest = replace(good, champion=np.sign(good.champion) * 1.75, challenger=np.sign(good.challenger) * 2.9)
    loud = replace(honest, challenger=np.sign(good.challenger) * 0.1)
    forgot = items(rng, 200, 1.0, 0.9)
    assert decide(GateEvidence(honest)).promote
    assert "calibrated" in decide(GateEvidence(loud)).reasons[0]
    assert "forgot" in decide(GateEvidence(honest, forgot)).reasons[0]
    assert (
        "slower"
        in decide(GateEvidence(honest, champion_ms=(10.0,) * 20, challenger_ms=(30.0,) * 20)).reasons[0]
    )
    late = decide(GateEvidence(honest, champion_ms=(4000.0,), challenger_ms=(4000.0,) * 20))
    assert "too slow" in late.reasons[0]


@pytest.mark.parametrize("flipped", [0.2, 0.5])
def test_one_that_learned_flipped_labels_is_refused_although_the_items_have_them_too(flipped):
    """Poisoned: labels are wrong in training and among the items alike; the frozen set is clean."""
    rng = np.random.default_rng(5)
    promoted = 0
    for _ in range(100):
        paired, frozen = items(rng, 800, 0.92, 0.92 - flipped / 4), items(rng, 200, 0.95, 0.95 - flipped / 4)
        wrong = rng.random(800) < flipped
        promoted += decide(GateEvidence(replace(paired, roadwork=paired.roadwork ^ wrong), frozen)).promote
    assert promoted <= 5


def test_the_bound_on_what_is_lost_covers():
    """Exact coverage is not promised at the ends; near-nominal on average is what the paper shows."""
    rng = np.random.default_rng(6)
    lost, won, count = 0.05, 0.02, 200
    draws = rng.multinomial(count, [lost, won, 1 - lost - won], size=4000)
    covered = np.mean([loss_bound(b, c, count, 0.95) >= lost - won for b, c, _ in draws])
    assert covered >= 0.94
    assert loss_bound(0, 0, 0, 0.95) == 1


def test_both_must_have_judged_the_same_items():
    with pytest.raises(ValueError, match="same items"):
        Paired(np.ones(2, bool), np.ones(2), np.ones(3))

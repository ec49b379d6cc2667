"""The twin against a transcription of the validators' scoring with their libraries, and payouts by hand."""

from __future__ import annotations

import math
import random
import warnings
from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from miner.chain.snapshot import Neuron, Snapshot
from miner.rewards.onchain import alpha_per_day, payout, tao_per_day
from miner.rewards.twin import Twin, expected_reward, weights_of

approx = pytest.approx
NAN, INF = float("nan"), float("inf")


class Reference:
    """What a validator does per challenge and UID, in its own order and with its own libraries."""

    def __init__(self) -> None:
        self.predictions, self.labels = deque(maxlen=100), deque(maxlen=100)
        self.score = 0.0

    def observe(self, prediction, label):
        self.predictions.append(prediction)
        self.labels.append(label)
        mcc = self.window(100)["mcc"]
        accuracy = self.window(10)["accuracy"]
        if prediction == -1:
            reward = 0.0
        else:
            reward = 0.5 * mcc + 0.5 * accuracy
            reward *= 0.0 if (prediction < 0.0) or (prediction > 1.0) else 1.0
            reward = reward**3
        self.score = 0.05 * reward + 0.95 * self.score
        return reward

    def window(self, size):
        size = min(size, len(self.predictions))
        recent = list(zip(list(self.predictions)[-size:], list(self.labels)[-size:], strict=True))
        kept = [(p, y) for p, y in recent if p != -1]
        nothing = {"accuracy": 0, "mcc": 0}
        if not kept:
            return nothing
        probabilities = np.array([p for p, _ in kept])
        rounded, labels = np.round(probabilities), np.array([y for _, y in kept])
        try:
            accuracy = sk.accuracy_score(labels, rounded)
            sk.precision_score(labels, rounded, zero_division=0)
            sk.recall_score(labels, rounded, zero_division=0)
            sk.f1_score(labels, rounded, zero_division=0)
            both = len(np.unique(labels)) > 1 and len(np.unique(rounded)) > 1
            mcc = max(0, sk.matthews_corrcoef(labels, rounded)) if both else 0.0
            if len(np.unique(labels)) > 1:
                sk.roc_auc_score(labels, probabilities)
        except Exception:  # noqa: BLE001 as the validators do
            return nothing
        return {"accuracy": accuracy, "mcc": mcc}


USUAL = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0, 0.49, 0.51, -1.0]))
ODD = st.one_of(
    st.sampled_from([NAN, INF, -INF, 1.2, 1.5, 2.0, 2.5, -0.3, -0.5, -0.7, -1.4, 3.0, 1e30, -1e30, 9.3e18]),
    st.floats(-3, 3),
)


def challenges(answers, longest):
    return st.lists(st.tuples(answers, st.integers(0, 1)), max_size=longest)


def assert_twins(history):
    twin, reference = Twin(), Reference()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for prediction, label in history:
            assert twin.observe(prediction, label) == approx(reference.observe(prediction, label), abs=1e-12)
            assert twin.score == approx(reference.score, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(challenges(USUAL, 15))
def test_usual_answers_are_scored_as_the_validators_score_them(history):
    assert_twins(history)


@settings(max_examples=30, deadline=None)
@given(challenges(st.one_of(USUAL, ODD), 15))
def test_odd_answers_too(history):
    assert_twins(history)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1), st.lists(st.one_of(USUAL, ODD), max_size=10))
def test_and_when_every_label_is_the_same(label, answers):
    assert_twins([(p, label) for p in answers])


def test_windows_that_have_filled_up_slide():
    rng = random.Random(5)
    labels = [rng.randint(0, 1) for _ in range(160)]
    answers = [y if rng.random() < 0.85 else 1 - y for y in labels]
    answers[20], answers[70], answers[110] = -1.0, NAN, 1.7
    assert_twins(list(zip(map(float, answers), labels, strict=True)))


@pytest.mark.parametrize("answer", [1e30, -1e30, 9.3e18, 3.0, -0.7, INF, NAN])
def test_numbers_that_no_class_can_be(answer):
    assert_twins([(1.0, 1), (answer, 1), (1.0, 1), (0.0, 1), (1.0, 1)])


def perfect(length):
    return [(float(i % 2), i % 2) for i in range(length)]


@pytest.mark.parametrize(
    ("answer", "label", "now", "soon", "later", "at_last"),
    [
        (-1.0, 1, 0.0, 1.0, 1.0, 1.0),
        (1.2, 1, 0.0, 1.0, 1.0, 1.0),
        (1.7, 1, 0.0, 0.0, 0.125, 1.0),
        (-0.7, 0, 0.0, 0.0, 0.125, 1.0),
        (INF, 1, 0.0, 0.0, 0.125, 1.0),
        (NAN, 1, 0.0, 0.0, 0.125, 1.0),
        (-0.3, 0, 0.0, 1.0, 1.0, 1.0),
        (0.5, 0, 1.0, 1.0, 1.0, 1.0),
    ],
)
def test_what_an_odd_answer_costs_an_otherwise_perfect_miner(answer, label, now, soon, later, at_last):
    # the measured costs: of this step, of the next nine, of the 90 after those, and of the one after that
    twin = Twin.replay(perfect(200))
    assert twin.observe(answer, label) == now
    assert [twin.observe(p, y) for p, y in perfect(9)] == [soon] * 9
    assert [twin.observe(p, y) for p, y in perfect(90)] == [later] * 90
    assert twin.observe(1.0, 1) == at_last


def test_half_is_no_roadwork():
    twin = Twin.replay(perfect(200))
    assert twin.observe(0.5, 1) < 1.0


def test_the_first_twelve_rewards_of_a_perfect_miner():
    # Until both classes have been seen MCC is 0 and the reward (0.5 * 1)^3; from then on 1.
    labels = [1, 1, 1, 0, 1, 0, 0, 1, 1, 0, 1, 0]
    twin = Twin()
    assert [twin.observe(float(y), y) for y in labels] == [0.125] * 3 + [1.0] * 9
    assert twin.score == approx(1 - 0.95**9 + 0.95**9 * 0.125 * (1 - 0.95**3))


def test_the_first_twelve_rewards_of_a_miner_with_two_mistakes():
    # Worked by hand: mistakes at steps 4 (label 0) and 9 (label 1).
    labels = [1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0]
    answers = [0.9, 0.1, 0.8, 0.7, 0.9, 0.2, 0.6, 0.3, 0.4, 0.1, 0.9, 0.0]

    def reward(tp, tn, fp, fn, right_of_ten):
        bottom = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
        mcc = (tp * tn - fp * fn) / bottom if bottom else 0.0
        return (0.5 * mcc + 0.5 * right_of_ten) ** 3

    by_hand = [
        0.125,
        1.0,
        1.0,
        reward(2, 1, 1, 0, 3 / 4),
        reward(3, 1, 1, 0, 4 / 5),
        reward(3, 2, 1, 0, 5 / 6),
        reward(4, 2, 1, 0, 6 / 7),
        reward(4, 3, 1, 0, 7 / 8),
        reward(4, 3, 1, 1, 7 / 9),
        reward(4, 4, 1, 1, 8 / 10),
        reward(5, 4, 1, 1, 8 / 10),
        reward(5, 5, 1, 1, 8 / 10),
    ]
    twin = Twin()
    assert [twin.observe(p, y) for p, y in zip(answers, labels, strict=True)] == approx(by_hand)


def test_another_hotkey_on_the_uid_starts_over():
    twin = Twin.replay(perfect(50))
    twin.reset()
    assert twin.score == 0.0
    assert twin.observe(1.0, 1) == 0.125


def test_weights_are_shares_of_the_scores():
    assert weights_of({3: 0.6, 4: 0.2, 5: 0.0}) == approx({3: 0.75, 4: 0.25, 5: 0.0})
    assert weights_of({3: 0.0}) == {3: 0.0}
    assert weights_of({}) == {}


@pytest.mark.parametrize(
    ("accuracy", "reward"),
    [(0.5, 0.016), (0.7, 0.166), (0.8, 0.343), (0.9, 0.614), (0.95, 0.792), (0.98, 0.913), (1.0, 1.0)],
)
def test_the_closed_form_agrees_with_the_known_table(accuracy, reward):
    assert expected_reward(accuracy, accuracy) == approx(reward, abs=1e-3)


def test_the_closed_form_knows_asymmetry_and_timeouts():
    assert expected_reward(1.0, 0.9) == approx((0.5 * 0.9 / math.sqrt(0.99) + 0.475) ** 3)
    assert expected_reward(0.9, 0.9, timeouts=0.1) == approx(0.9 * expected_reward(0.9, 0.9))
    assert expected_reward(1.0, 0.0) == approx(0.25**3)


def row(uid, incentive=0.0, emission=0.0):
    given_fields = {"stake": 0.0, "validator_permit": False, "axon": None, "dividends": 0.0}
    blocks = {"last_update": 0, "block_at_registration": 0, "active": True}
    return Neuron(
        uid=uid,
        hotkey=f"hot{uid}",
        coldkey=f"cold{uid}",
        incentive=incentive,
        emission=emission,
        **given_fields,
        **blocks,
    )


def subnet(**fields):
    neurons = (row(0), row(1, 0.3, 44.28), row(2, 0.5, 73.8), row(3, 0.2, 29.52))
    given_fields = {"netuid": 72, "block": 8_000_400, "tempo": 360, "taken_at": 0.0, "price": 0.0031}
    limits = {"owner_hotkey": "hot0", "immunity_period": 100, "max_uids": 4, "last_epoch": 8_000_360}
    return Snapshot(neurons=neurons, **{**given_fields, **limits, **fields})


def test_a_payout_row_worked_by_hand():
    # 30 % of the miners' 147.6 alpha an epoch; second of three by incentive; one poorer would go first.
    paid = payout(subnet(), "hot1")
    assert (paid.block, paid.seen, paid.uid, paid.alpha) == (8_000_360, 8_000_400, 1, 44.28)
    assert paid.tao == approx(0.137268)
    assert (paid.rank, paid.incentive, paid.position) == (2, 0.3, 1)
    assert payout(subnet(), "stranger") is None


def test_a_day_has_twenty_epochs_of_360_blocks():
    taken = subnet()
    assert alpha_per_day(taken, taken.neurons[1]) == approx(885.6)
    assert tao_per_day(taken, taken.neurons[1]) == approx(885.6 * 0.0031)


def test_a_faster_chain_has_more_epochs_a_day():
    taken = subnet(block_s=1.0)
    assert alpha_per_day(taken, taken.neurons[1]) == approx(44.28 * 240)

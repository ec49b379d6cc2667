"""The parts of a learning run that need no network."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.calibration import Calibration, logit
from models.learn.adaptation.bias import FARTHEST, after, held_back, recalibrate
from models.learn.adaptation.head import learn
from models.learn.adaptation.items import Item, ItemsError, read, write
from models.learn.adaptation.pseudo import SHARE, WEIGHT, Audited, Guess, admit
from models.learn.adaptation.reservoir import replay
from models.learn.adaptation.slices import slices


def item(number, roadwork=True, source="review", **more):
    return Item(f"{number:064x}", Path(f"{number}.jpg"), roadwork, source, **more)


# Replay


@settings(deadline=None)
@given(st.lists(st.sampled_from(["review", "pseudo", "other"]), max_size=60), st.integers(0, 50))
def test_gold_is_never_dropped_and_the_rest_is_bounded(sources, most):
    given = [item(n, n % 3 == 0, source, month=f"2026-0{1 + n % 2}") for n, source in enumerate(sources)]
    kept = replay(given, most)
    gold = [one for one in given if one.gold]
    assert [one for one in kept if one.gold] == gold
    assert len(kept) == min(len(given), max(len(gold), most))


def test_a_rare_stratum_is_not_crowded_out():
    many = [item(n, True, "other", month="2026-01") for n in range(500)]
    few = [item(1000 + n, False, "other", month="2026-02") for n in range(20)]
    kept = replay(many + few, 60)
    assert sum(not one.roadwork for one in kept) == 20
    assert len(kept) == 60


def test_a_third_is_held_for_good_and_a_group_stays_together():
    items = [item(n) for n in range(3000)]
    assert np.mean([one.held for one in items]) == pytest.approx(1 / 3, abs=0.03)
    assert not any(one.held and one.aside for one in items)
    assert len({item(n, group="drive").held for n in range(50)}) == 1


def test_items_survive_their_file_and_nonsense_is_refused(tmp_path):
    found = [Item("ab", tmp_path / "x" / "1.jpg", True, month="2026-11", weight=0.3)]
    write(tmp_path / "items.json", found)
    assert read(tmp_path / "items.json") == found
    (tmp_path / "items.json").write_text('[{"key": 1}]')
    with pytest.raises(ItemsError, match="no list of labelled images"):
        read(tmp_path / "items.json")
    with pytest.raises(ItemsError, match="weight"):
        item(1, weight=0.0)


# Pseudo-labels

TRUE = [item(n, n % 2 == 0) for n in range(100)]
VOUCHED = {"s": Audited(299, 0)}


def guess(number, odds=6.0, families=("classifier", "detector", "vlm"), stratum="s"):
    return Guess(item(number, source="none"), dict.fromkeys(families, odds), stratum)


def test_three_sure_families_in_an_audited_stratum_are_believed_a_little():
    found = admit([guess(500), guess(501, -6.0)], VOUCHED, TRUE)
    assert [(one.roadwork, one.source, one.weight) for one in found] == [
        (True, "pseudo", WEIGHT),
        (False, "pseudo", WEIGHT),
    ]
    assert not any(one.gold for one in found)


@pytest.mark.parametrize(
    "doubtful",
    [
        guess(1, families=("classifier", "vlm")),
        guess(1, odds=4.5),
        Guess(item(1), {"classifier": 6.0, "detector": 6.0, "vlm": -6.0}, "s"),
        guess(1, stratum="unaudited"),
    ],
)
def test_two_families_an_unsure_or_dissenting_one_or_no_audit_are_not(doubtful):
    assert admit([doubtful], VOUCHED, TRUE) == []


def test_the_audit_must_bound_the_error_by_a_hundredth():
    assert Audited(299, 0).vouches and not Audited(298, 0).vouches
    assert Audited(473, 1).vouches and not Audited(472, 1).vouches
    assert not Audited(0, 0).vouches


def test_their_share_is_capped_in_the_proportion_of_true_labels():
    true = [item(n, n % 4 == 0) for n in range(140)]
    found = admit([guess(500 + n, 6.0 if n % 2 else -6.0) for n in range(400)], VOUCHED, true)
    assert len(found) / (len(found) + len(true)) == pytest.approx(SHARE, abs=0.01)
    assert np.mean([one.roadwork for one in found]) == pytest.approx(0.25, abs=0.02)
    assert admit([guess(500)], VOUCHED, []) == []


# Temperature and bias


def test_a_bias_is_found_and_no_day_moves_it_far():
    rng = np.random.default_rng(0)
    true = rng.normal(0, 2, 4000)
    labels = rng.random(4000) < 1 / (1 + np.exp(-true))
    near = recalibrate(Calibration(), true + 0.3, labels, np.ones(4000))
    assert logit(near.threshold) == pytest.approx(0.3, abs=0.12)
    far = recalibrate(Calibration(), true + 5, labels, np.ones(4000))
    assert logit(far.threshold) == pytest.approx(FARTHEST)
    assert recalibrate(Calibration(), true[:12], labels[:12], np.ones(12)) == Calibration()


@given(st.floats(-0.5, 0.5), st.floats(0.6, 1.6), st.floats(-20, 20), st.floats(0.2, 0.8), st.floats(0.5, 2))
def test_two_calibrations_are_one(bias, scale, raw, threshold, temperature):
    first = Calibration(temperature, threshold)
    expected = (first.apply(raw) - bias) / scale
    assert after(first, bias, scale).apply(raw) == pytest.approx(expected, abs=1e-6)


def test_a_gain_in_one_class_is_not_paid_for_by_the_other():
    rng = np.random.default_rng(4)
    labels = np.arange(1000) % 2 == 0
    before = np.where(labels, -1.0, -1.0)
    new = rng.normal(np.where(labels, 1.5, -0.5), 1.0)
    shift = held_back(before, new, labels)
    lost = np.mean(new[~labels] - shift > 0)
    assert lost <= 0.005 < np.mean(new[~labels] > 0)
    assert np.mean(new[labels] - shift > 0) > 0.2
    assert held_back(new, new, labels) == 0


# The last layer


def world(count, seed, shifted=2.5):
    """Features in which the old log-odds miss a direction."""
    rng = np.random.default_rng(seed)
    labels = rng.random(count) < 0.5
    x = rng.normal(0, 1, (count, 40)).astype(np.float32)
    x[:, 0] += np.where(labels, 1.5, -1.5)
    x[:, 1] += np.where(labels, shifted, -shifted)
    return x, x[:, 0].astype(float), labels, np.array([str(n // 4) for n in range(count)])


def accuracy(odds, labels):
    return np.mean((odds > 0) == labels)


def test_a_layer_learns_what_the_old_one_misses():
    x, odds, labels, groups = world(400, 0)
    change = learn(x, odds, labels, groups, np.ones(400))
    other, before, truth, _ = world(1000, 1)
    assert accuracy(before, truth) < 0.95
    assert accuracy(change(before, other), truth) > 0.98
    assert change.losses[math.inf] > change.losses[change.pull]


def test_with_nothing_to_gain_nothing_changes():
    rng = np.random.default_rng(3)
    x = rng.normal(0, 1, (300, 40)).astype(np.float32)
    odds = rng.normal(0, 2, 300)
    labels = rng.random(300) < 1 / (1 + np.exp(-odds))
    assert learn(x, odds, labels, np.array(list(map(str, range(300)))), np.ones(300)) is None
    few = world(30, 2)
    assert learn(*few, np.ones(30)) is None


# Slices


def test_slices_are_by_source_and_month_and_tell_forgetting():
    items = [item(n, n % 2 == 0, month="2026-01" if n < 20 else "2026-02") for n in range(40)]
    odds = np.array([1.0 if one.roadwork else -1.0 for one in items])
    odds[:10] *= -1
    first, second = slices(items, odds)
    assert (first.name, first.count, first.accuracy, first.mcc) == ("review 2026-01", 20, 0.5, 0)
    assert (second.name, second.accuracy, second.mcc) == ("review 2026-02", 1.0, 1)
    assert slices(items[:4], odds[:4]) == []

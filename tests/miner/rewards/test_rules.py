"""The alarms' rules: each rings when it should, and not a moment earlier."""

from __future__ import annotations

import pytest

from miner.chain.scorers import Scorer, scorers
from miner.chain.snapshot import Neuron, Snapshot
from miner.ledger.asked import Asked
from miner.rewards import rules
from miner.rewards.standing import Standing

NOW, MINUTE = 2e9, 60.0


def neuron(uid, **fields):
    values = {"stake": 0.0, "validator_permit": False, "axon": None, "incentive": 0.0, "emission": 0.0}
    values |= {"dividends": 0.0, "last_update": 0, "block_at_registration": 0, "active": True, **fields}
    return Neuron(uid=uid, hotkey=f"hot{uid}", coldkey=f"cold{uid}", **values)


def snapshot(*neurons, **fields):
    values = {"netuid": 72, "block": 10_000, "tempo": 360, "taken_at": NOW, "price": 0.01, **fields}
    values = {"owner_hotkey": "hot0", "immunity_period": 100, "max_uids": len(neurons), **values}
    return Snapshot(neurons=tuple(neurons), **values)


SUBNET = snapshot(
    neuron(0),
    neuron(1, stake=300.0, validator_permit=True, last_update=9_900),
    neuron(2, stake=700.0, validator_permit=True, last_update=9_990),
    neuron(3, stake=5.0),
    neuron(4, stake=0.0, validator_permit=True),
)


def test_a_validators_view_of_us_is_read_off_its_weights_and_bonds():
    weights = {2: {0: 0.5, 3: 0.1, 9: 0.4}, 1: {0: 1.0}}
    big, small = scorers(SUBNET, "hot3", weights, {2: {3: 0.25}})
    assert (big.hotkey, big.share, big.weight, big.bond) == ("hot2", 0.7, pytest.approx(0.1), 0.25)
    assert big.ceiling == pytest.approx(0.25), "the owner's part, which is burned, is no miner's"
    assert big.set_s == NOW - 10 * 12
    assert (small.weight, small.ceiling, small.bond) == (0.0, None, None)


def test_without_tables_or_without_a_uid_nothing_is_claimed():
    for found in (scorers(SUBNET, "hot3", {}, {}), scorers(SUBNET, "stranger", {2: {3: 1.0}}, {2: {3: 1.0}})):
        assert [(one.weight, one.ceiling, one.bond) for one in found] == [(None, None, None)] * 2


def test_burning_is_told_from_half_on():
    assert rules.burn(None) == rules.burn(0.49) == {}
    assert rules.burn(0.5)[""][0] == "warn"
    assert rules.burn(1.0)[""][0] == "fail" and "100%" in rules.burn(1.0)[""][1]


def test_a_halt_is_measured_in_usual_gaps_while_we_listened():
    gap = 5 * MINUTE
    assert not rules.halt(NOW - 59 * MINUTE, gap, 0, NOW, 12)
    assert "60 min" in rules.halt(NOW - 60 * MINUTE, gap, 0, NOW, 12)[""][1]
    assert not rules.halt(NOW - 600 * MINUTE, gap, NOW - 59 * MINUTE, NOW, 12), "we were down"
    assert not rules.halt(None, None, NOW - 59 * MINUTE, NOW, 12)
    assert rules.halt(None, None, NOW - 61 * MINUTE, NOW, 12)


def a_scorer(hotkey="hot2", **fields):
    values = {"uid": 2, "stake": 7.0, "share": 0.7, "set_s": NOW, "weight": 0.1, "ceiling": 0.5, "bond": None}
    return Scorer(hotkey=hotkey, **{**values, **fields})


def test_one_validator_that_no_longer_asks_is_named():
    asked = Standing(challenges=50, last_ns=int((NOW - 160 * MINUTE) * 1e9), gap_s=30 * MINUTE)
    recent = Standing(challenges=50, last_ns=int((NOW - 40 * MINUTE) * 1e9), gap_s=30 * MINUTE)
    new = Standing(challenges=3, last_ns=int((NOW - 900 * MINUTE) * 1e9), gap_s=MINUTE)
    three = [a_scorer("a"), a_scorer("b"), a_scorer("c"), a_scorer("never")]
    found = rules.silent(three, {"a": asked, "b": recent, "c": new}, 0, NOW, 5)
    assert list(found) == ["a"] and "160 min" in found["a"][1] and "70%" in found["a"][1]
    assert not rules.silent(three, {"a": asked}, NOW - 100 * MINUTE, NOW, 5), "we were down"


def asked(*predictions):
    return [Asked(number, prediction, None) for number, prediction in enumerate(predictions)]


def test_answers_that_come_too_late_are_told():
    assert not rules.missed(asked(*[-1.0] * 9)), "too few to say"
    assert not rules.missed(asked(*[0.9] * 46, *[-1.0] * 4))
    assert rules.missed(asked(*[0.9] * 45, *[-1.0] * 5))[""][0] == "warn"
    assert rules.missed(asked(*[0.9] * 25, *[-1.0] * 25))[""][0] == "fail"


def test_a_model_that_always_says_the_same_is_told():
    assert not rules.one_sided(asked(*[0.9] * 29, *[-1.0] * 9))
    assert not rules.one_sided(asked(*[0.9] * 49, 0.1))
    assert "said roadwork" in rules.one_sided(asked(*[0.9] * 30))[""][1]
    assert "said no roadwork" in rules.one_sided(asked(*[0.5, 0.1] * 20, -1.0))[""][1]


@pytest.mark.parametrize(
    ("worst", "best", "ceiling", "says"),
    [
        (0.5, 0.9, 0.5, None),
        (0.7, 0.9, 0.5, "less than our twin"),
        (0.7, 0.9, 0.0, "less than our twin"),
        (0.05, 0.9, 0.0, None),
        (0.0, 1.0, 1.0, None),
        (0.0, 0.02, 0.8, "more than our twin"),
        (0.0, 0.0, 0.0, None),
        (0.9, 0.9, None, None),
    ],
)
def test_twin_and_chain_disagree_only_when_no_best_miner_could_reconcile_them(worst, best, ceiling, says):
    said = rules.disagreement(a_scorer(ceiling=ceiling), Standing(worst, best, challenges=100))
    assert (said is None) if says is None else (says in said)


def test_a_place_in_danger_is_told_and_an_immune_one_is_not():
    def at(emission, registered=0):
        others = [neuron(uid, emission=1.0 + uid) for uid in range(1, 12)]
        ours = neuron(12, emission=emission, block_at_registration=registered)
        return snapshot(neuron(0), *others, ours)

    assert rules.place(at(0.5), "hot12", 8)[""][0] == "fail"
    assert rules.place(at(4.5), "hot12", 8)[""][0] == "warn"
    assert not rules.place(at(99.0), "hot12", 8)
    assert not rules.place(at(0.5, registered=9_950), "hot12", 8)
    assert "not registered" in rules.place(at(1.0), "nobody", 8)[""][1]


def test_only_real_changes_of_stake_are_told():
    before = {"a": 100.0, "b": 100.0, "gone": 5.0}
    assert rules.stake_changes(before, [("a", 104.0), ("b", 90.0), ("new", 7.0)]) == [("b", 100.0, 90.0)]

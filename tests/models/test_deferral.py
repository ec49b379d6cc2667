"""Deferral: the rule, the price that keeps a budget, and the file that says both."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import difficulty
from models.audit import read as read_audit
from models.cascade import Ask, Plan, State, step
from models.core import Evidence
from models.deferral import Deferral, Offer, choose, load, price_for
from models.description import DescriptionError, decide
from models.description import read as read_description
from models.gain import GainModel, Logistic, Tree, Trees

NOW, LATER = 100.0, 109.0
GAINS = st.floats(-1, 1)
COSTS = st.floats(0.1, 1e4)
OFFERS = st.lists(st.builds(Offer, st.text("abcdef", min_size=1, max_size=3), GAINS, COSTS), max_size=6)


@given(OFFERS, st.floats(0, 1))
def test_the_most_gain_per_millisecond_above_the_price_is_taken_whatever_the_order(offers, price):
    found = choose(offers, price)
    assert found == choose(offers[::-1], price)
    worth = [each.gain / each.cost_ms for each in offers if each.gain / each.cost_ms > price]
    if found is None:
        assert not worth
    else:
        assert max(worth) in [each.gain / each.cost_ms for each in offers if each.tier == found]


def test_costless_gain_is_always_taken_and_no_price_buys_harm():
    assert choose([Offer("a", 1e-9, 1e-6)], 0.0) == "a"
    assert choose([Offer("a", -0.1, 1.0), Offer("b", 0.0, 1.0)], 0.0) is None
    assert choose([Offer("a", 1.0, 1.0)], float("inf")) is None


@given(st.lists(st.floats(0, 0.01), min_size=1, max_size=50), st.floats(10, 70))
def test_a_price_keeps_the_budget_and_not_much_less(gains, budget):
    def spent(price):
        return 10 + 60 * sum(gain / 60 > price for gain in gains) / len(gains)

    price = price_for(spent, budget)
    assert spent(price) <= budget
    assert price <= 1e-12 or spent(price * (1 - 1e-6)) > budget


def by_margin(weight):
    """Gains more the smaller the margin."""
    return GainModel(("margin",), (1.0,), (0.5,), Logistic((weight, 0.0), (0.0, -9.0)))


def deferral(price=0.001):
    return Deferral({"b": by_margin(-2.0), "c": by_margin(-4.0)}, {"b": 10.0, "c": 100.0}, price)


def said(tier, log_odds):
    return Evidence(tier, "v1", log_odds)


def course(plan, answers, absent=()):
    state = State("r1", LATER, tuple(answers), plan=plan)
    while isinstance(found := step(state, NOW), Ask):
        here = found.tier in absent
        state = state.lost(found.tier) if here else state.heard(said(found.tier, answers[found.tier]))
    return found


def test_only_hard_images_go_on_and_to_whom_gains_most_per_millisecond():
    plan = Plan(deferral=deferral())
    assert course(plan, {"a": 9.0, "b": 1.0, "c": 1.0}).path == ("a",)
    assert course(plan, {"a": 0.1, "c": 9.0, "b": 0.1}).path == ("a", "b", "c"), "b is ten times cheaper"
    assert course(plan, {"a": 0.1, "c": 1.0, "b": 9.0}).path == ("a", "b"), "b has settled it"


def test_of_those_alive_the_next_best_is_asked_and_without_a_first_word_the_order_holds():
    plan = Plan(deferral=deferral())
    assert course(plan, {"a": 0.1, "b": 9.0, "c": 9.0}, absent="b").path == ("a", "c")
    assert course(plan, {"a": 0.1, "c": 9.0, "b": 9.0}, absent="a").path == ("c",)
    found = course(plan, {"a": 0.1, "b": 9.0, "c": 9.0}, absent="abc")
    assert not found.spoken and not found.certified


def test_an_unknown_member_is_never_asked_and_a_prohibitive_price_asks_nobody():
    assert course(Plan(deferral=deferral()), {"a": 0.1, "z": 9.0}).path == ("a",)
    assert course(Plan(deferral=deferral(1.0)), {"a": 0.1, "b": 9.0, "c": 9.0}).path == ("a",)


def test_an_audit_asks_everybody_in_order_and_tells_where_the_rule_would_have_ended():
    found = course(Plan(deferral=deferral(), audit=1.0), {"a": 0.1, "c": -30.0, "b": 9.0})
    audit = read_audit(found.notes)
    assert found.path == ("a", "c", "b") and found.log_odds < 0
    assert (audit.tier, audit.roadwork, audit.propensity) == ("b", True, 1.0)


def test_the_pictures_difficulty_counts():
    model = GainModel(("sharpness",), (5.0,), (1.0,), Logistic((-3.0, 0.0), (0.0, -9.0)))
    plan = Plan(deferral=Deferral({"b": model}, {"b": 10.0}, 0.05))
    blurred, sharp = ({"sharpness": value} for value in (2.0, 8.0))
    state = State("r1", LATER, ("a", "b"), plan=plan).heard(said("a", 1.0))
    assert isinstance(
        step(State(state.id, LATER, ("b",), state.evidence, plan=plan, scene=blurred), NOW), Ask
    )
    assert not isinstance(
        step(State(state.id, LATER, ("b",), state.evidence, plan=plan, scene=sharp), NOW), Ask
    )


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=4))
def test_features_of_evidence_are_finite_and_say_who_said_what(odds):
    words = [Evidence(f"m{n}", "1", value, features={"spread": 0.5}) for n, value in enumerate(odds)]
    found = difficulty.evidence(words, sum(odds))
    assert all(value == value and abs(value) < 1e3 for value in found.values())
    assert found["heard"] == len(odds) and 0 <= found["entropy"] <= 1 and found["disagreement"] >= 0
    assert found["m0.spread"] == 0.5


TREES = Trees(0.05, (Tree((0, -1, -1), (0.0, 0.0, 0.0), (1, -1, -1), (2, -1, -1), (0.0, 0.3, -0.1)),))


def test_a_file_gives_back_the_same_rule_and_a_changed_one_is_refused(tmp_path):
    file = tmp_path / "deferral.json"
    mixed = Deferral(
        {"b": by_margin(-2.0), "c": GainModel(("margin",), (1.0,), (0.5,), TREES)}, {"b": 1.0, "c": 2.0}, 0.01
    )
    mixed.save(file)
    assert load(file) == mixed and load(file).digest == mixed.digest
    assert mixed.gains["c"].gain({"margin": 0.0}) == pytest.approx(0.35)
    assert mixed.gains["c"].gain({"margin": 9.0}) == pytest.approx(-0.05)
    assert mixed.gains["c"].gain({}) == mixed.gains["c"].gain({"margin": 1.0}), "missing is average"
    content = json.loads(file.read_text(encoding="utf-8"))
    for change in (
        {"price": 0.02},
        {"price": -1},
        {"cost_ms": {"b": 0.0, "c": 1.0}},
        {"gains": {"b": {**content["gains"]["b"], "mean": []}}},
        {"gains": {"c": {**content["gains"]["c"], "model": {"start": 0, "trees": [_loop()]}}}},
    ):
        file.write_text(json.dumps(content | change), encoding="utf-8")
        with pytest.raises(ValueError, match="not a deferral"):
            load(file)


def _loop():
    return {"feature": [0], "threshold": [0.0], "left": [0], "right": [0], "value": [0.0]}


def test_a_folder_names_its_deferral(tmp_path):
    deferral().save(tmp_path / "deferral.json")
    content = {"name": "x", "tiers": [{"kind": "classifier"}], "deferral": {"file": "deferral.json"}}
    (tmp_path / "cascade.json").write_text(json.dumps(content), encoding="utf-8")
    plan, _ = decide(read_description(tmp_path), [("classifier", "1")])
    assert plan.deferral == deferral()
    for wrong in ({"file": "other.json"}, {"file": "deferral.json", "band": 1.0}, {"rule": 1}):
        (tmp_path / "cascade.json").write_text(json.dumps(content | {"deferral": wrong}), encoding="utf-8")
        with pytest.raises(DescriptionError):
            read_description(tmp_path)
    (tmp_path / "cascade.json").write_text(json.dumps(content), encoding="utf-8")
    (tmp_path / "deferral.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DescriptionError, match="not a deferral"):
        decide(read_description(tmp_path), [("classifier", "1")])

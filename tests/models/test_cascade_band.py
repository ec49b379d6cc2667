"""Deferral by a band: sure enough is answered, without claiming a certificate; audits see what it loses."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.audit import read as read_audit
from models.cascade import Ask, Plan, State, step
from models.core import Evidence, Verdict
from models.description import DescriptionError, decide, read

NOW, LATER = 100.0, 109.0
TIERS = ("small", "medium", "large")
LOG_ODDS = st.floats(-20, 20)


def said(tier, log_odds):
    return Evidence(tier, "v1", log_odds)


def course(plan, answers):
    state = State("r1", LATER, TIERS, plan=plan)
    while isinstance(found := step(state, NOW), Ask):
        state = state.heard(said(found.tier, answers[TIERS.index(found.tier)]))
    return found


def test_outside_the_band_nobody_else_is_asked_and_nothing_is_certified():
    found = course(Plan(band=2.0), (2.0, 9.0, 9.0))
    assert found.path == ("small",) and not found.certified and found.notes == ()
    assert course(Plan(band=2.0), (1.9, -4.0, 9.0)).path == ("small", "medium")


@given(st.tuples(LOG_ODDS, LOG_ODDS, LOG_ODDS))
def test_no_band_is_the_full_ensemble_bit_for_bit(answers):
    assert course(Plan(), answers) == course(Plan(band=math.inf), answers)
    assert course(Plan(), answers).path == TIERS


@given(st.tuples(LOG_ODDS, LOG_ODDS, LOG_ODDS), st.floats(0.1, 10), st.floats(0, 10))
def test_a_wider_band_never_asks_fewer(answers, band, more):
    assert len(course(Plan(band=band), answers).path) <= len(course(Plan(band=band + more), answers).path)


def test_an_audited_exit_asks_everybody_and_notes_what_it_would_have_said():
    found = course(Plan(band=2.0, audit=1.0), (3.0, -9.0, 1.0))
    audit = read_audit(found.notes)
    assert found.path == TIERS and found.prediction < 0.5
    assert (audit.tier, audit.roadwork, audit.propensity) == ("small", True, 1.0)


def test_at_the_deadline_within_the_band_it_still_says_so():
    state = State("r1", LATER, TIERS, plan=Plan(band=5.0)).heard(said("small", 1.0))
    found = step(state, LATER)
    assert isinstance(found, Verdict) and found.notes == ("deadline",)


def test_a_folder_names_its_band(tmp_path):
    content = {"name": "x", "tiers": [{"kind": "classifier"}], "deferral": {"band": 1.5}}
    (tmp_path / "cascade.json").write_text(json.dumps(content), encoding="utf-8")
    described = read(tmp_path)
    plan, why = decide(described, [("classifier", "1")])
    assert plan.band == 1.5 and why == "no certificate"
    content["deferral"] = {"band": 0}
    (tmp_path / "cascade.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DescriptionError, match="above 0"):
        read(tmp_path)

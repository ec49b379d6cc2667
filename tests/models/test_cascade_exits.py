"""Leaving early: only where a certificate reaches, and never in place of an answer."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import audit
from models.calibration import probability
from models.cascade import Ask, Plan, State, plan, step, verdict
from models.certify import Certificate, Member, OperatingPoint
from models.certify.certificate import Exit, Side
from models.certify.traces import Thresholds, follow
from models.core import Evidence, Verdict

NOW, LATER = 100.0, 109.0
TIERS = ("small", "medium", "large")
POINT = OperatingPoint("day", tuple(Member(name, f"{name}-v1") for name in TIERS))
SIDE = Side(400, 900, 0.002, 0.01, 0.7, 0.95, 299, 420)
SURE = Certificate(
    POINT,
    (Exit("small", -3.0, 2.0), Exit("medium", -5.0, 4.0)),
    "data",
    (0.01, 0.01),
    0.05,
    (SIDE, SIDE),
    0.5,
    "2026-11-23",
)
LOG_ODDS = st.floats(-20, 20)


def state(certificate=SURE, tiers=TIERS, audit_share=0.0, id="r1"):
    return State(id, LATER, tiers, plan=Plan(certificate=certificate, audit=audit_share))


def said(tier, log_odds, version="v1"):
    return Evidence(tier, f"{tier}-{version}", log_odds)


def course(start, answers):
    """Ask until there is a verdict."""
    asked = []
    while isinstance(found := step(start, NOW), Ask):
        asked.append(found.tier)
        start = start.heard(said(found.tier, answers[found.tier]))
    return found, asked


@pytest.mark.parametrize(
    ("log_odds", "leaves"), [(2.0, True), (1.99, False), (-2.99, False), (-3.0, True), (math.nan, False)]
)
def test_each_side_has_its_own_threshold(log_odds, leaves):
    found = step(state().heard(said("small", log_odds)), NOW)
    assert isinstance(found, Verdict) == leaves
    if leaves:
        assert found.certified and found.path == ("small",) and found.notes == ()


def test_the_second_exit_looks_at_both():
    now = state().heard(said("small", 1.5)).heard(said("medium", 2.5))
    found = step(now, NOW)
    assert found.certified and found.log_odds == 4.0
    assert found.evidence == {"small": 1.5, "medium": 2.5}


def test_everybody_asked_under_a_certificate_is_certified():
    found, asked = course(state(), {"small": 0.1, "medium": 0.1, "large": -3.0})
    assert found.certified and asked == list(TIERS)


def test_what_the_deadline_cuts_short_is_not_certified():
    found = step(state().heard(said("small", 1.0)), LATER)
    assert not found.certified and found.notes == ("deadline",)
    sure = step(state().heard(said("small", 9.0)), LATER)
    assert sure.certified and sure.notes == (), "it would have left anyhow"


def test_an_absent_member_ends_the_certificate_but_not_the_answer():
    now = state().lost("small").heard(said("medium", 9.0))
    assert step(now, NOW) == Ask("large")
    found = step(now.heard(said("large", 9.0)), NOW)
    assert found.spoken and not found.certified and found.notes == ("failed:small",)
    dead_later = state().lost("large").heard(said("small", 9.0))
    assert step(dead_later, NOW).certified, "who left before it would never have asked it"
    alone = state().lost("large").lost("medium").heard(said("small", 1.0))
    assert not step(alone, NOW).certified


def test_a_swapped_or_misplaced_member_is_not_the_certified_one():
    swapped = state().heard(said("small", 9.0, "v2"))
    assert step(swapped, NOW) == Ask("medium")
    ended = swapped.heard(said("medium", 9.0)).heard(said("large", 9.0))
    assert not step(ended, NOW).certified
    out_of_turn = state(tiers=("medium", "small", "large")).heard(said("medium", 9.0))
    assert step(out_of_turn, NOW) == Ask("small")


def test_audited_exits_ask_everybody_and_say_so():
    answers = {"small": 9.0, "medium": -4.0, "large": -9.0}
    found, asked = course(state(audit_share=1.0), answers)
    assert asked == list(TIERS) and found.certified and found.prediction < 0.5
    assert audit.read(found.notes) == audit.Audit("small", True, 1.0)
    cut = step(state(audit_share=1.0).heard(said("small", 9.0)), LATER)
    assert not cut.certified and "deadline" in cut.notes
    unsure, _ = course(state(audit_share=1.0), {"small": 0.0, "medium": 0.0, "large": 1.0})
    assert audit.read(unsure.notes) is None, "no exit, nothing to audit"


def test_a_share_of_exits_is_audited_and_the_same_ones_again():
    def audited():
        answers = dict.fromkeys(TIERS, 9.0)
        return {
            n for n in range(3000) if course(state(audit_share=0.02, id=f"r{n}"), answers)[1] == list(TIERS)
        }

    first = audited()
    assert 25 <= len(first) <= 100 and first == audited()


def test_plans_take_only_certificates_that_hold():
    assert plan(POINT, SURE) == (Plan(certificate=SURE, audit=0.01), None)
    other = replace(POINT, members=(replace(POINT.members[0], precision="int8"), *POINT.members[1:]))
    for certificate, point, says in (
        (None, POINT, "no certificate"),
        (SURE, other, "small: precision was none, now int8"),
        (SURE.without_exits(), POINT, "not certified"),
    ):
        made, reason = plan(point, certificate)
        assert made.certificate is None and says in reason


@given(st.lists(LOG_ODDS, min_size=3, max_size=3))
def test_thresholds_of_never_are_the_full_ensemble_to_the_last_bit(values):
    answers = dict(zip(TIERS, values, strict=True))
    plain, asked = course(state(certificate=None), answers)
    never, asked_too = course(state(certificate=SURE.without_exits()), answers)
    assert asked == asked_too == list(TIERS)
    assert (plain.prediction.hex(), plain.log_odds.hex()) == (never.prediction.hex(), never.log_odds.hex())
    assert not plain.certified


@given(st.lists(LOG_ODDS, min_size=3, max_size=3))
def test_in_service_it_decides_as_it_was_certified(values):
    """The state machine takes the very path that the calibration rows were followed on."""
    found, asked = course(state(), dict(zip(TIERS, values, strict=True)))
    fused = np.array([[math.fsum(values[: count + 1]) for count in range(3)]])
    thresholds = Thresholds(np.array([-3.0, -5.0]), np.array([2.0, 4.0]))
    decided, depth = follow(fused, thresholds)
    assert (found.prediction > 0.5, len(asked) - 1) == (decided[0], depth[0])
    assert found.prediction == probability(fused[0, depth[0]])


@given(LOG_ODDS, st.floats(0, 20))
def test_exits_are_monotone(log_odds, more):
    """Who leaves at a log-odds leaves at a larger one of the same sign."""
    if isinstance(step(state().heard(said("small", log_odds)), NOW), Verdict):
        further = log_odds + math.copysign(more, log_odds)
        assert isinstance(step(state().heard(said("small", further)), NOW), Verdict)


@given(st.data())
def test_whatever_happens_there_is_an_answer_and_no_false_claim(data):
    now, clock, questions = state(audit_share=data.draw(st.sampled_from([0.0, 0.5, 1.0]))), NOW, 0
    while isinstance(found := step(now, clock), Ask):
        questions += 1
        event = data.draw(st.sampled_from(["speak", "fail", "late"]))
        if event == "speak":
            now = now.heard(said(found.tier, data.draw(st.floats())))
        elif event == "fail":
            now = now.lost(found.tier)
        else:
            clock = LATER
    assert questions <= 4 and math.isfinite(found.prediction)
    assert found == verdict(now)
    if found.certified:
        prefix = TIERS[: len(found.path)]
        assert found.path == prefix and "deadline" not in found.notes

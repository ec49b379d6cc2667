import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.cascade import Ask, State, step
from models.core import NO_PREDICTION, Evidence, Verdict

NOW, LATER = 100.0, 109.0


def state(*tiers):
    return State("r1", LATER, tiers)


def said(tier, log_odds=2.0):
    return Evidence(tier, f"{tier}-v1", log_odds, cost_ms=3.5)


def test_one_tier_is_asked_and_answers():
    asked = state("small")
    assert step(asked, NOW) == Ask("small")
    found = step(asked.heard(said("small")), NOW)
    assert isinstance(found, Verdict)
    assert found.prediction == pytest.approx(0.8808, abs=1e-4)
    assert (found.id, found.path, found.versions, found.ms) == (
        "r1",
        ("small",),
        {"small": "small-v1"},
        {"small": 3.5},
    )
    assert found.notes == () and not found.certified and found.spoken


def test_tiers_are_asked_in_order_and_never_left_out():
    """However sure the first one is: no certificate, no early exit."""
    now = state("small", "large")
    assert step(now.heard(said("small", 500.0)), NOW) == Ask("large")
    found = step(now.heard(said("small", 1.0)).heard(said("large", -3.0)), NOW)
    assert found.log_odds == -2 and found.prediction < 0.5 and found.path == ("small", "large")


def test_at_the_deadline_the_best_so_far_is_the_answer():
    found = step(state("small", "large").heard(said("small")), LATER)
    assert found.prediction > 0.5 and found.notes == ("deadline",)


def test_a_failed_tier_is_absent_not_fatal():
    now = state("small", "large").lost("small")
    assert step(now, NOW) == Ask("large")
    found = step(now.heard(said("large")), NOW)
    assert found.path == ("large",) and found.notes == ("failed:small",)


def test_nobody_spoke():
    for found in (step(state("small"), LATER), step(state("small").lost("small"), NOW), step(state(), NOW)):
        assert found.prediction == NO_PREDICTION and not found.spoken and found.path == ()


def test_one_given_up_may_speak_late():
    found = step(state("small").lost("small").heard(said("small")), NOW)
    assert found.path == ("small",) and found.notes == ()


def test_losing_a_tier_that_spoke_changes_nothing():
    spoken = state("small").heard(said("small"))
    assert spoken.lost("small") == spoken


def test_a_tier_speaks_once():
    with pytest.raises(ValueError, match="small"):
        state("small").heard(said("small")).heard(said("small"))
    with pytest.raises(ValueError, match="small"):
        State("r1", LATER, ("small", "small"))


def test_a_tie_is_no_roadwork_and_anything_more_is():
    """The subnet rounds halves down: the answer must not rest on that, nor on what a float32 keeps."""
    assert step(state("a").heard(said("a", 0.0)), NOW).prediction < 0.5
    assert step(state("a").heard(said("a", 5e-324)), NOW).prediction > 0.5
    assert step(state("a").heard(said("a", -5e-324)), NOW).prediction < 0.5


@given(st.data())
def test_every_course_of_events_ends_in_one_finite_answer(data):
    """Whatever speaks, fails or comes late: few questions, then a probability."""
    now = state("a", "b", "c")
    clock, questions = NOW, 0
    while isinstance(found := step(now, clock), Ask):
        questions += 1
        event = data.draw(st.sampled_from(["speak", "fail", "late"]))
        if event == "speak":
            now = now.heard(said(found.tier, data.draw(st.floats(allow_nan=False))))
        elif event == "fail":
            now = now.lost(found.tier)
        else:
            clock = LATER + 1
    assert questions <= 4
    assert math.isfinite(found.prediction)
    assert found.spoken == bool(found.path)
    assert 0 <= found.prediction <= 1 if found.spoken else found.prediction == NO_PREDICTION
    assert not found.certified

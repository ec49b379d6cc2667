"""How far a memory moves an answer, and what is told of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.calibration import LIMIT
from models.cascade import State, verdict
from models.core import Evidence
from models.recall import CAP, LABEL, NOVELTY, TARGET, TRUST, correction, moved_by, novelty

ODDS = st.floats(-LIMIT, LIMIT)
LABELS = st.floats(-1, 1)
TRUSTS = st.floats(0, 0.999)


def remembering(label, trust, log_odds=0.0, **more):
    return Evidence("classifier", "v1", log_odds, features={LABEL: label, TRUST: trust, **more})


@given(LABELS, TRUSTS, ODDS)
def test_the_correction_is_bounded_and_never_against_the_label(label, trust, log_odds):
    found = correction([remembering(label, trust)], log_odds)
    assert abs(found) <= CAP
    assert found * label >= 0


@given(TRUSTS, st.floats(TARGET, LIMIT))
def test_what_the_answer_says_already_is_left_alone(trust, log_odds):
    assert correction([remembering(1.0, trust)], log_odds) == 0
    assert correction([remembering(-1.0, trust)], -log_odds) == 0


@given(st.floats(-3, 3))
def test_look_alikes_that_contradict_each_other_say_nothing(log_odds):
    assert correction([remembering(0.0, 0.9)], log_odds) == 0


def asked(*evidence):
    return State("r", 0.0, (), evidence)


def test_the_verdict_is_corrected_after_fusion_and_tells_of_it():
    found = verdict(asked(remembering(1.0, 0.5, -1.0), Evidence("regions", "v1", -0.5)))
    assert found.log_odds == pytest.approx(-1.5 + 0.5 * 3.5)
    assert found.prediction > 0.5
    assert found.evidence == {"classifier": -1.0, "regions": -0.5}
    assert "memory:+1.75" in found.notes
    assert moved_by(found.notes) == 1.75


def test_a_verdict_without_memory_is_what_it_was():
    plain = verdict(asked(Evidence("classifier", "v1", -1.0)))
    assert plain.log_odds == -1.0
    assert plain.notes == ()
    assert moved_by(plain.notes) == 0
    assert novelty(plain.notes) is None


def test_how_unusual_an_image_was_is_told_also_when_nothing_is_remembered():
    found = verdict(asked(Evidence("classifier", "v1", 3.0, features={NOVELTY: 1.5})))
    assert novelty(found.notes) == 1.5
    assert found.log_odds == 3.0

"""Boxes and verdicts hold what they say they hold, also after JSON."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.core import Box, Evidence, Verdict

unit = st.floats(0, 1)
boxes = st.builds(
    lambda view, label, score, across, down: Box(view, label, score, across[0], down[0], across[1], down[1]),
    st.integers(0, 5),
    st.text(min_size=1, max_size=8),
    unit,
    st.tuples(unit, unit).map(sorted),
    st.tuples(unit, unit).map(sorted),
)


@given(st.lists(boxes, max_size=4))
def test_a_verdict_comes_back_from_json_with_its_boxes(found):
    verdict = Verdict("id", 0.7, 0.85, ("regions",), notes=("deadline",), boxes=tuple(found))
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict


def test_a_verdict_written_before_there_were_boxes_can_be_read():
    told = Verdict("id", 0.7).to_json()
    del told["boxes"]
    assert Verdict.from_json(told).boxes == ()


@pytest.mark.parametrize(
    "edges",
    [(0.5, 0.0, 0.4, 1.0), (0.0, 0.5, 1.0, 0.4), (-0.1, 0, 1, 1), (0, 0, 1.01, 1), (math.nan, 0, 1, 1)],
)
def test_a_box_outside_its_view_or_with_crossed_edges_is_refused(edges):
    with pytest.raises(ValueError, match="within its view"):
        Box(0, "cone", 0.5, *edges)


@pytest.mark.parametrize(("view", "score"), [(-1, 0.5), (0, 1.5), (0, -0.1), (0, math.nan)])
def test_a_box_needs_a_view_and_a_score_between_0_and_1(view, score):
    with pytest.raises(ValueError, match="score"):
        Box(view, "cone", score, 0, 0, 1, 1)


def test_evidence_without_places_has_no_boxes():
    assert Evidence("classifier", "1", 0.5).boxes == ()

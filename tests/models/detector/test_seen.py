"""What becomes of scores and boxes."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.detector.seen import Seen, Weighing, feature_names, features, find_boxes, read_weighing, slug

LABELS = ("traffic cone", "sign")


def seen(*rows):
    """(score of a cone, score of a sign, x0, y0, x1, y1) per query."""
    table = np.array(rows, dtype=float).reshape(-1, 6)
    return Seen(table[:, :2], table[:, 2:])


number = st.floats(-0.5, 1.5)
row = st.tuples(st.floats(0, 1), st.floats(0, 1), number, number, number, number)


@given(st.lists(row, max_size=12), st.floats(0.05, 0.95))
def test_whatever_a_detector_says_boxes_lie_within_the_view_and_features_are_finite(rows, least):
    what = seen(*rows)
    boxes = find_boxes(what, LABELS, least)
    told = features(what, LABELS, boxes)
    assert list(told) == feature_names(LABELS)
    assert all(math.isfinite(value) and value >= 0 for value in told.values())
    assert [box.score for box in boxes] == sorted((box.score for box in boxes), reverse=True)
    assert told["count_sign"] == sum(box.label == "sign" for box in boxes)
    assert all(told[f"{kind}_sign"] <= 1 for kind in ("max", "area", "lowest"))


def test_the_same_thing_seen_twice_counts_once_and_another_class_does_not_hide_it():
    twice = seen((0.9, 0, 0.1, 0.1, 0.5, 0.5), (0.8, 0.7, 0.1, 0.1, 0.5, 0.51), (0.6, 0, 0.6, 0.6, 0.8, 0.9))
    boxes = find_boxes(twice, LABELS, 0.3)
    assert [(box.label, box.score) for box in boxes] == [
        ("traffic cone", 0.9),
        ("sign", 0.7),
        ("traffic cone", 0.6),
    ]
    told = features(twice, LABELS, boxes)
    assert told["count_traffic_cone"] == 2 and told["lowest_traffic_cone"] == 0.9
    assert told["area_traffic_cone"] == pytest.approx(0.16 + 0.06)


def test_without_weights_the_best_score_speaks_and_an_undecided_one_says_nothing():
    told = features(seen((0.2, 0.7, 0, 0, 1, 1)), LABELS, [])
    assert Weighing(undecided=0.7).log_odds(told) == pytest.approx(0)
    assert Weighing().log_odds(told) == pytest.approx(math.log(0.7 / 0.3))
    assert math.isfinite(Weighing().log_odds(features(seen(), LABELS, [])))


def test_weights_beside_the_checkpoint_make_the_log_odds(tmp_path):
    path = tmp_path / "detector.json"
    path.write_text(json.dumps({"intercept": -1, "weights": {"max_sign": 3, "count_sign": 0.5}}))
    weighing = read_weighing(path, feature_names(LABELS), 0.5)
    what = seen((0, 0.8, 0, 0, 1, 1))
    told = features(what, LABELS, find_boxes(what, LABELS, 0.3))
    assert weighing.log_odds(told) == pytest.approx(-1 + 3 * 0.8 + 0.5)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"intercept": 0, "weights": {"max_lorry": 1}}, "max_lorry"),
        ({"intercept": 0}, "weights"),
        ({"intercept": 0, "weights": {}}, "at least one"),
        ({"intercept": float("inf"), "weights": {"max_sign": 1}}, "finite"),
        ([1], "needs"),
    ],
)
def test_weights_that_cannot_be_used_are_refused_by_name(tmp_path, content, named):
    path = tmp_path / "detector.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=named):
        read_weighing(path, feature_names(LABELS), 0.5)


def test_a_feature_is_named_after_its_class():
    assert slug("TTC Sign (temporary)") == "ttc_sign_temporary"

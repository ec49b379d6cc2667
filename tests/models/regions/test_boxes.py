"""From chances to boxes and features."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.regions.boxes import MOST, boxes, components, features
from models.scenes.stencil import LABELS

WHOLE = (0.0, 0.0, 1.0, 1.0)
maps = arrays(np.float64, (len(LABELS), 6, 9), elements=st.floats(0, 1))


@given(arrays(np.bool_, st.tuples(st.integers(1, 8), st.integers(1, 8))))
def test_components_part_the_true_cells_and_do_not_touch(mask):
    groups = [set(zip(rows.tolist(), columns.tolist(), strict=True)) for rows, columns in components(mask)]
    assert sorted(cell for group in groups for cell in group) == [
        tuple(cell) for cell in np.argwhere(mask).tolist()
    ]
    for index, group in enumerate(groups):
        around = {
            (row + down, column + across)
            for row, column in group
            for down in (-1, 0, 1)
            for across in (-1, 0, 1)
        }
        assert not any(around & other for other in groups[:index])


@given(maps)
def test_boxes_are_sorted_lie_in_the_window_and_features_are_finite(chances):
    window = (0.0, 0.25, 1.0, 0.75)
    found = boxes(chances, window, LABELS, 0.5)
    assert len(found) <= MOST and [box.score for box in found] == sorted(
        (b.score for b in found), reverse=True
    )
    assert all(0.25 <= box.y0 < box.y1 <= 0.75 for box in found)
    told = features(chances, found, LABELS, 0.5)
    assert np.isfinite(list(told.values())).all() and told["count"] == len(found)


def test_a_box_covers_its_cells_and_is_named_after_what_they_speak_for():
    chances = np.zeros((len(LABELS), 10, 10))
    chances[0, 6:8, 2:4] = 0.9
    chances[LABELS.index("cone"), 6:8, 2:4] = 0.7
    chances[0, 0, 9] = 0.6
    first, second = boxes(chances, WHOLE, LABELS, 0.5)
    assert (first.label, first.x0, first.y0, first.x1, first.y1) == (
        "cone",
        0.2,
        pytest.approx(0.6),
        0.4,
        0.8,
    )
    assert second.label == "works"
    assert features(chances, [first, second], LABELS, 0.5)["lowest"] == pytest.approx(0.8)


def test_nothing_seen_is_no_box_and_zeros():
    chances = np.zeros((len(LABELS), 4, 4))
    assert boxes(chances, WHOLE, LABELS, 0.5) == []
    assert set(features(chances, [], LABELS, 0.5).values()) == {0.0}

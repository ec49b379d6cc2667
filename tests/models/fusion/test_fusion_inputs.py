from dataclasses import replace

import numpy as np
import pytest
from fusion_kit import MEMBERS, NAMES, world
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.core import Evidence
from models.fusion.inputs import fit_inputs, pooled
from models.fusion.rows import balanced, fit_scale, from_evidence

CAMERAS = arrays(np.float64, (2, 4, 3), elements=st.floats(width=64))


def test_what_was_said_becomes_a_row():
    said = [
        Evidence("vlm", "v", 2.0, features={"view0": 1.0, "view1": 3.0}),
        Evidence("regions", "v", -1.0, features={"count": 4.0}),
        Evidence("somebody", "v", 9.0),
    ]
    row = from_evidence(MEMBERS, said, NAMES)
    assert row.log_odds.tolist()[0][1:] == [-1.0, 2.0] and row.present.tolist() == [[False, True, True]]
    np.testing.assert_array_equal(row.features["regions"], [[4.0, np.nan]])
    assert row.views is not None and row.views.shape == (1, 6, 3)
    np.testing.assert_array_equal(row.views[0, :3, 2], [1.0, 3.0, np.nan])
    assert np.isnan(row.views[0, :, :2]).all()


def test_without_views_told_apart_there_are_no_cameras():
    assert from_evidence(MEMBERS, [Evidence("vlm", "v", 2.0)], NAMES).views is None


def test_members_can_be_left_out_and_put_in_another_order():
    rows = world()
    fewer = rows.only(("vlm", "classifier"))
    np.testing.assert_array_equal(fewer.log_odds, rows.log_odds[:, [2, 0]])
    assert fewer.features == {} and fewer.views is None
    with pytest.raises(ValueError, match="nothing is known of lidar"):
        rows.only(("lidar",))


@pytest.mark.parametrize(
    "wrong",
    [
        {"members": ("a", "b")},
        {"members": ("a", "a", "b")},
        {"roadwork": np.zeros(3, bool)},
        {"names": {}},
        {"features": {"nobody": np.zeros((400, 2))}},
        {"views": np.zeros((400, 2))},
    ],
)
def test_what_does_not_fit_is_refused(wrong):
    with pytest.raises(ValueError, match=r"log_odds|roadwork|names?|features|views"):
        replace(world(), **wrong)


@given(CAMERAS, st.permutations(range(4)))
def test_the_order_of_cameras_does_not_change_a_bit_of_the_pool(views, order):
    np.testing.assert_array_equal(pooled(views), pooled(views[:, order]))


@given(CAMERAS)
def test_absent_cameras_do_not_change_a_bit_of_the_pool(views):
    more = np.concatenate([np.full((2, 1, 3), np.nan), views, np.full((2, 1, 3), np.nan)], axis=1)
    np.testing.assert_array_equal(pooled(views), pooled(more))


def test_pooling_means_mean_and_largest():
    views = np.array([[[1.0, np.nan], [3.0, 5.0], [np.nan, np.nan]]])
    np.testing.assert_array_equal(pooled(views), [[2.0, 5.0, 3.0, 5.0]])
    assert np.isnan(pooled(np.full((1, 2, 2), np.nan))).all() and np.isnan(pooled(np.zeros((1, 0, 2)))).all()


def test_inputs_are_standardised_and_gaps_are_the_mean():
    rows = world(absent=0.2)
    inputs = fit_inputs(rows)
    x, there = inputs(rows)
    assert inputs.sources == (*MEMBERS, "views") and x.shape == (400, 3 + 2 + 6)
    assert inputs.owners.tolist() == [0, 1, 1, 1, 2, *[3] * 6]
    np.testing.assert_array_equal(there[:, :3], rows.present)
    for column, owner in enumerate(inputs.owners):
        own = x[there[:, owner], column]
        assert abs(own.mean()) < 1e-9 and own.std() == pytest.approx(1)
        assert not x[~there[:, owner], column].any()


def test_labels_weigh_the_same():
    weights = balanced(np.array([True, False, False, False]))
    assert weights.sum() == pytest.approx(4) and weights[0] == 2
    assert balanced(np.array([True, True])).tolist() == [1, 1]


def test_a_scale_ignores_what_is_missing():
    scale = fit_scale(np.array([[1.0, 5.0, np.nan], [3.0, 5.0, np.nan], [np.nan, 5.0, np.nan]]))
    assert scale.mean.tolist() == [2, 5, 0] and scale.spread.tolist() == [1, 1, 1]

import numpy as np
import pytest
import torch
from fusion_kit import fitted, world
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.fusion.attention import prepare
from models.fusion.pooling import _scene, fit_attention
from models.fusion.rows import REACH

CAMERAS = arrays(np.float64, (3, 4, 3), elements=st.floats(width=64))


def pool():
    return fitted("attention").model.pool


@given(CAMERAS, st.permutations(range(4)))
def test_the_order_of_cameras_does_not_change_a_bit(views, order):
    before, after = pool()(views), pool()(views[:, order])
    for name in ("log_odds", "largest", "noisy_or"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    np.testing.assert_allclose(before.attention[:, order].sum(axis=1), after.attention.sum(axis=1))


@given(CAMERAS, st.integers(0, 4))
def test_an_absent_camera_does_not_change_a_bit(views, where):
    before, after = pool()(views), pool()(np.insert(views, where, np.nan, axis=1))
    for name in ("log_odds", "largest", "noisy_or"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    np.testing.assert_array_equal(before.attention, np.delete(after.attention, where, axis=1))
    assert not after.attention[:, where].any() and np.isnan(after.views[:, where]).all()


@given(CAMERAS)
def test_attention_adds_up_and_the_scene_lies_between_its_views(views):
    found = pool()(views)
    some = ~np.isnan(views).all(axis=(1, 2))
    np.testing.assert_allclose(found.attention.sum(axis=1), some)
    assert (np.isnan(found.log_odds) == ~some).all()
    for log_odds, own in zip(found.log_odds[some], found.views[some], strict=True):
        assert np.nanmin(own) - 1e-9 <= log_odds <= np.nanmax(own) + 1e-9


def test_the_attention_of_a_camera_follows_it():
    views = np.random.default_rng(0).normal(0, 2, (1, 4, 3))
    order = [2, 0, 3, 1]
    np.testing.assert_array_equal(pool()(views).attention[:, order], pool()(views[:, order]).attention)


def test_largest_and_noisy_or_are_what_they_say():
    views = world().views
    found = pool()(views)
    chances = np.where(np.isnan(found.views), 0, 1 / (1 + np.exp(-np.clip(found.views, -REACH, REACH))))
    some = ~np.isnan(views).all(axis=(1, 2))
    np.testing.assert_allclose(found.largest[some], chances.max(axis=1)[some])
    np.testing.assert_allclose(found.noisy_or[some], 1 - np.prod(1 - chances, axis=1)[some])


def test_it_serves_what_was_trained():
    views = np.random.default_rng(1).normal(0, 2, (5, 4, 3))
    mine = pool()
    x = prepare(mine.scale, views.reshape(-1, 3)).reshape(5, 4, 6)
    names = ("look", "look_bias", "gate", "gate_bias", "rank", "slope", "bias")
    parameters = [torch.as_tensor(getattr(mine, name), dtype=torch.float64) for name in names]
    trained = _scene(parameters, torch.from_numpy(x), torch.ones(5, 4, dtype=torch.bool))
    np.testing.assert_allclose(mine(views).log_odds, trained.numpy())


def test_without_cameras_it_is_refused():
    with pytest.raises(ValueError, match="no row tells cameras apart"):
        fit_attention(world(views=False))

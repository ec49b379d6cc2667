from dataclasses import replace

import numpy as np
import pytest
import torch
from fusion_kit import MEMBERS, fitted, world
from hypothesis import given
from hypothesis import strategies as st

from models.fusion.branches import _prefixes
from models.fusion.inputs import Inputs
from models.fusion.residual import Residual
from models.fusion.rows import Scale

PARTS = ("encode", "shift", "by_state", "by_branch", "ease", "scale")


def model() -> Residual:
    return fitted("residual").model


def without(branch: int) -> Residual:
    """The same fusion, built without one of its members."""
    mine, kept = model(), [each for each in range(4) if each != branch]
    columns = mine.inputs.owners != branch
    members = tuple(name for index, name in enumerate(MEMBERS) if index != branch)
    names = {name: each for name, each in mine.inputs.names.items() if name in members}
    scale = Scale(mine.inputs.scale.mean[columns], mine.inputs.scale.spread[columns])
    parts = {name: getattr(mine, name)[kept] for name in PARTS}
    parts["encode"] = parts["encode"][:, :, columns]
    return replace(mine, inputs=Inputs(members, names, mine.inputs.views, scale), **parts)


@pytest.mark.parametrize("branch", range(3))
def test_an_absent_branch_is_a_no_op(branch):
    rows = world(80, seed=3)
    log_odds = rows.log_odds.copy()
    log_odds[:, branch] = np.nan
    silent = replace(rows, log_odds=log_odds)
    fewer = without(branch)
    others = replace(silent.only(fewer.members), views=silent.views)
    np.testing.assert_allclose(model().log_odds(silent), fewer.log_odds(others), rtol=1e-12)


@given(st.lists(st.booleans(), min_size=4, max_size=4), st.integers(0, 3))
def test_the_state_behind_an_absent_branch_is_the_same_bits(there, branch):
    """Whatever an absent branch would have said, and however its parameters were."""
    rows = world(20, seed=3)
    there[branch] = False
    gone = ~np.array(there[:3])
    log_odds = np.where(gone, np.nan, rows.log_odds)
    views = rows.views if there[3] else None
    silent = replace(rows, log_odds=log_odds, views=views)
    mine = model()
    encode, scale = mine.encode.copy(), mine.scale.copy()
    encode[branch], scale[branch] = 7.0, 1e6
    changed = replace(mine, encode=encode, scale=scale)
    own = mine.inputs(silent)[1][:, branch]
    np.testing.assert_array_equal(mine.log_odds(silent)[~own], changed.log_odds(silent)[~own])
    assert own.sum() == 0


def test_a_branch_weighted_nothing_is_a_no_op_too():
    rows, mine = world(20), model()
    scale = mine.scale.copy()
    scale[1] = 0.0
    log_odds = rows.log_odds.copy()
    log_odds[:, 1] = np.nan
    absent = replace(rows, log_odds=log_odds)
    np.testing.assert_array_equal(replace(mine, scale=scale).log_odds(rows), mine.log_odds(absent))


def test_every_prefix_serves_what_was_trained():
    rows, mine = world(40, seed=4, views=True), model()
    parameters = [
        torch.as_tensor(getattr(mine, name), dtype=torch.float64) for name in (*PARTS, "head", "bias")
    ]
    own = torch.from_numpy(np.eye(4)[:, mine.inputs.owners])
    x, there = (torch.from_numpy(each) for each in mine.inputs(rows))
    trained = [each.numpy() for each in _prefixes(parameters, own, x, there)]
    np.testing.assert_allclose(mine.log_odds(rows), trained[-1])
    for heard in (1, 2, 3):
        log_odds = np.where(np.arange(3) < heard, rows.log_odds, np.nan)
        np.testing.assert_allclose(
            mine.log_odds(replace(rows, log_odds=log_odds, views=None)), trained[heard - 1]
        )


def test_later_members_help():
    rows, mine = world(1200, seed=8, views=False), model()
    first = replace(rows, log_odds=np.where(np.arange(3) < 1, rows.log_odds, np.nan))
    right = [((mine.log_odds(each) > 0) == rows.roadwork).mean() for each in (first, rows)]
    assert right[1] > right[0] + 0.05

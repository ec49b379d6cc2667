from dataclasses import replace

import numpy as np
import pytest
from fusion_kit import world
from sklearn.linear_model import LogisticRegression

from models.fusion.logistic import fit, newton
from models.fusion.rows import balanced


@pytest.mark.parametrize("l2", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("members", [[0], [0, 2], [0, 1, 2]])
def test_every_set_of_members_is_scikit_learns(l2, members):
    rows = world(absent=0.2)
    x = rows.log_odds[:, members]
    spoke = ~np.isnan(x).any(axis=1)
    theirs = LogisticRegression(C=1 / l2, tol=1e-10, max_iter=10_000)
    theirs.fit(x[spoke], rows.roadwork[spoke], sample_weight=balanced(rows.roadwork[spoke]))
    only = np.full_like(rows.log_odds, np.nan)
    only[:, members] = x
    mine = fit(rows, l2=l2).log_odds(replace(rows, log_odds=only))
    np.testing.assert_allclose(mine[spoke], theirs.decision_function(x[spoke]), atol=1e-4)


def test_an_absent_member_leaves_nothing_of_its_bias_behind():
    rows = world()
    rows = replace(rows, log_odds=rows.log_odds + np.array([0.0, 0.0, 12.0]))
    model = fit(rows)
    cut = model.log_odds(replace(rows, log_odds=np.where(np.arange(3) < 2, rows.log_odds, np.nan)))
    np.testing.assert_allclose(cut, fit(rows.only(rows.members[:2])).log_odds(rows.only(rows.members[:2])))


def test_a_set_that_never_spoke_alone_gets_what_plain_indicators_say():
    rows = world()
    either = np.where(np.arange(400)[:, None] % 2 == np.array([0, 1, 0]), np.nan, rows.log_odds)
    model = fit(replace(rows, log_odds=either))
    right = ((model.log_odds(rows) > 0) == rows.roadwork).mean()
    assert right > ((rows.log_odds[:, 0] > 0) == rows.roadwork).mean()


def test_too_many_members_are_refused():
    names = tuple("abcdefghi")
    rows = replace(world(), members=names, log_odds=np.zeros((400, 9)), features={}, names={})
    with pytest.raises(ValueError, match="at most 8 members, not 9"):
        fit(rows)


def test_labels_that_can_be_separated_are_no_trouble():
    rows = world()
    b = newton(np.where(rows.roadwork, 1.0, -1.0)[:, None], rows.roadwork, np.ones(len(rows)), 1.0)
    assert np.isfinite(b).all() and b[0] > 1


def test_nobody_there_is_the_prior():
    rows = world(absent=1.0, count=4)
    assert fit(world()).log_odds(rows).tolist() == [0.0] * 4

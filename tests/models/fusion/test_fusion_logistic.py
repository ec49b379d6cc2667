import numpy as np
import pytest
from fusion_kit import world
from sklearn.linear_model import LogisticRegression

from models.fusion.logistic import fit, newton
from models.fusion.rows import balanced


@pytest.mark.parametrize("l2", [0.1, 1.0, 30.0])
def test_it_is_scikit_learns(l2):
    rows = world(absent=0.2)
    mine = fit(rows, l2=l2)
    spoken = rows.present.any(axis=1)
    x = np.column_stack([np.nan_to_num(rows.log_odds), ~rows.present])[spoken]
    theirs = LogisticRegression(C=1 / l2, tol=1e-10, max_iter=10_000)
    theirs.fit(x, rows.roadwork[spoken], sample_weight=balanced(rows.roadwork[spoken]))
    np.testing.assert_allclose([*mine.slopes, *mine.missing], theirs.coef_[0], atol=1e-5)
    np.testing.assert_allclose(mine.log_odds(rows)[spoken], theirs.decision_function(x), atol=1e-4)


def test_labels_that_can_be_separated_are_no_trouble():
    rows = world()
    b = newton(np.where(rows.roadwork, 1.0, -1.0)[:, None], rows.roadwork, np.ones(len(rows)), 1.0)
    assert np.isfinite(b).all() and b[0] > 1


def test_nobody_there_is_the_prior():
    rows = world(absent=1.0, count=4)
    assert fit(world()).log_odds(rows).tolist() == [0.0] * 4

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from models.fusion.meta import complete, subsets
from models.fusion.selection import MOST, Bench, greedy, log_loss, shares, silhouette, top_cluster


@given(st.integers(0, 1000), st.integers(4, 12), st.integers(2, 3))
def test_silhouette_is_scikit_learns(seed, count, k):
    rng = np.random.default_rng(seed)
    values = rng.random(count)
    clusters = np.concatenate([np.arange(k), rng.integers(0, k, count - k)])
    assert silhouette(values, clusters) == pytest.approx(silhouette_score(values[:, None], clusters))


def test_the_best_cluster_is_k_means():
    losses = np.array([0.9, 0.30, 0.5, 0.31, 0.52, 0.29, 0.91])
    found = KMeans(3, n_init=10, random_state=0).fit_predict(losses[:, None])
    np.testing.assert_array_equal(top_cluster(losses), found == found[np.argmin(losses)])


@pytest.mark.parametrize("losses", [[0.5], [0.5, 0.2], [0.4] * 5])
def test_where_nothing_can_be_told_apart_all_teach(losses):
    assert top_cluster(np.array(losses)).all()


@given(st.lists(st.floats(1e-6, 5), min_size=1, max_size=15))
def test_the_best_student_always_teaches(losses):
    assert top_cluster(np.array(losses))[np.argmin(losses)]


@pytest.mark.parametrize("sources", range(1, 7))
def test_a_student_for_every_subset(sources):
    uses = subsets(sources)
    assert len({tuple(each) for each in uses.tolist()}) == len(uses) == 2**sources - 1
    assert uses.any(axis=1).all()


@pytest.mark.parametrize("sources", [0, 7])
def test_too_many_sources_are_refused(sources):
    with pytest.raises(ValueError, match="1 to 6 sources"):
        subsets(sources)


@given(st.integers(1, 5), st.data())
def test_weights_add_up_to_one_under_every_mask(sources, data):
    uses = subsets(sources)
    chosen = data.draw(st.sets(st.integers(0, len(uses) - 1), min_size=1))
    weights = np.isin(np.arange(len(uses)), list(chosen)) * np.linspace(1, 2, len(uses))
    masks = np.concatenate([uses, np.zeros((1, sources), bool)])
    found = shares(complete(masks, uses), weights, np.ones(len(uses)))
    np.testing.assert_allclose(found.sum(axis=1)[:-1], 1)
    assert not found[-1].any() and (found >= 0).all()
    assert not found[~complete(masks, uses)].any(), "a student without its inputs speaks"


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 15), st.floats(0, 0.6))
def test_the_selection_is_never_worse_than_the_best_single_student(seed, students, absent):
    rng = np.random.default_rng(seed)
    roadwork = np.arange(60) % 2 == 0
    said = np.where(roadwork, 1, -1)[:, None] * rng.normal(0.5, 0.5, students) + rng.normal(
        0, 1, (60, students)
    )
    bench = Bench(said, rng.random((60, students)) >= absent, roadwork)
    losses = bench.losses()
    weights = greedy(bench, losses)
    alone = [bench.blended(each, 1 / losses) for each in np.eye(students)]
    assert bench.blended(weights, 1 / losses) <= min(alone) + 1e-12
    assert weights.sum() == pytest.approx(1) and (weights > 0).sum() <= MOST + 1


def test_a_student_that_never_speaks_knows_nothing():
    bench = Bench(np.ones((4, 2)), np.array([[True, False]] * 4), np.array([True, True, False, False]))
    assert bench.losses()[1] == pytest.approx(np.log(2))


def test_log_loss_weighs_the_labels_the_same():
    said = np.array([2.0, -1.0, -1.0, -1.0])
    expected = (np.log1p(np.exp(-2)) + np.log1p(np.exp(-1))) / 2
    assert log_loss(said, said > 0) == pytest.approx(expected)

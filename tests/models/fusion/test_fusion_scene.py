import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.calibration import LIMIT
from models.core import Evidence
from models.fusion.scene import together

VIEW = st.builds(
    lambda log_odds, features: Evidence("tier", "v", log_odds, 2.0, features),
    st.floats(-30, 30),
    st.dictionaries(st.sampled_from(["count", "area"]), st.floats(0, 10)),
)


def test_one_view_is_the_scene():
    view = Evidence("tier", "v", 1.5, 2.0, {"count": 3.0})
    assert together([view]) == view
    with pytest.raises(ValueError, match="no view"):
        together([])


def test_several_views_are_averaged_and_told_apart():
    found = together([Evidence("tier", "v", 1.0, 2.0, {"count": 3.0}), Evidence("tier", "v", -2.0, 4.0)])
    assert found == Evidence("tier", "v", -0.5, 6.0, {"count": 3.0, "view0": 1.0, "view1": -2.0})


@given(st.lists(VIEW, min_size=2, max_size=6), st.randoms())
def test_the_order_of_views_changes_no_mean(views, random):
    before = together(views)
    random.shuffle(views)
    after = together(views)
    assert after.log_odds == before.log_odds and after.cost_ms == before.cost_ms
    for name in ("count", "area"):
        assert after.features.get(name) == before.features.get(name)


def test_what_is_not_finite_stops_nobody():
    odd = [
        Evidence("tier", "v", 1e308, 1.0, {"count": float("inf")}),
        Evidence("tier", "v", 1e308, 1.0, {"count": 1.0}),
    ]
    assert together(odd).log_odds == LIMIT

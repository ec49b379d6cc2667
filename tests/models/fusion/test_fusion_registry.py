import json
import math
from dataclasses import replace

import numpy as np
import pytest
from fusion_kit import MEMBERS, NAMES, fitted, world
from hypothesis import given, settings
from hypothesis import strategies as st

from models.calibration import LIMIT, Calibration
from models.cascade import Plan, State, step
from models.core import Evidence, Verdict
from models.fusion.registry import KINDS, Fitted, fit, load, save
from models.fusion.total import Total

ANY = st.floats(width=64)
FEATURES = st.dictionaries(st.sampled_from(["count", "largest", "view0", "view1", "view5", "other"]), ANY)
SAID = st.lists(
    st.builds(
        lambda tier, log_odds, features: Evidence(tier, "v", log_odds, features=features),
        st.sampled_from([*MEMBERS, "stranger"]),
        ANY,
        FEATURES,
    ),
    max_size=5,
    unique_by=lambda item: item.tier,
)
each_kind = pytest.mark.parametrize("kind", KINDS)


def said(*log_odds, members=MEMBERS):
    return [Evidence(name, "v", value) for name, value in zip(members, log_odds, strict=False)]


@each_kind
@settings(max_examples=60)
@given(SAID, st.randoms())
def test_finite_whatever_was_said_and_in_whatever_order(kind, evidence, random):
    found = fitted(kind).fuse(evidence)
    silent = all(math.isnan(item.log_odds) for item in evidence)
    assert (found is None) == silent
    assert found is None or abs(found) <= LIMIT
    random.shuffle(evidence)
    assert fitted(kind).fuse(evidence) == found


@each_kind
def test_a_saved_fusion_gives_identical_outputs(kind, tmp_path):
    before = replace(fitted(kind).calibrated(Calibration(1.7, 0.4), 0.3), comparison={"rows": 400})
    save(before, tmp_path / "deep" / "fusion.json")
    after = load(tmp_path / "deep" / "fusion.json")
    rows = world(200, seed=7, absent=0.4)
    np.testing.assert_array_equal(before.log_odds(rows), after.log_odds(rows))
    assert after.digest == before.digest and after.members == MEMBERS
    assert after.comparison == {"rows": 400} and after.names == before.names and after.prior == 0.3


@each_kind
def test_one_request_is_fused_as_many_are(kind):
    rows = world(20, seed=2, absent=0.3)
    for index in range(len(rows)):
        evidence = [
            Evidence(
                name,
                "v",
                rows.log_odds[index, column],
                features={f"view{view}": rows.views[index, view, column] for view in range(3)}
                | dict(
                    zip(NAMES.get(name, ()), rows.features.get(name, np.zeros((20, 0)))[index], strict=True)
                ),
            )
            for column, name in enumerate(MEMBERS)
            if rows.present[index, column]
        ]
        seen = rows.pick(np.array([index]))
        gone = np.isnan(seen.log_odds)
        seen = replace(seen, views=np.where(gone[:, None, :], np.nan, seen.views))
        expected = fitted(kind).log_odds(seen)[0] if evidence else None
        assert fitted(kind).fuse(evidence) == pytest.approx(expected, rel=1e-9)


@each_kind
def test_nobody_there_is_the_prior(kind):
    nobody = world(4, absent=1.0, views=False)
    assert fitted(kind).fuse([]) is None
    assert fitted(kind).log_odds(nobody).tolist() == [0.0] * 4
    moved = fitted(kind).calibrated(Calibration(), 0.2).log_odds(nobody)
    assert moved == pytest.approx(np.log(0.2 / 0.8))


@each_kind
def test_who_was_never_heard_in_training_changes_nothing(kind):
    evidence = said(1.0, -0.5, 2.0)
    stranger = Evidence("stranger", "v", 9.0)
    assert fitted(kind).fuse([*evidence, stranger]) == fitted(kind).fuse(evidence)
    assert fitted(kind).fuse([stranger]) == 9.0, "but it is all there is"


@each_kind
def test_it_decides_in_the_cascade(kind):
    state = State("id", 1.0, MEMBERS, plan=Plan(fitted(kind).fuse))
    for item in said(2.0, 3.0, 4.0):
        state = state.heard(item)
    verdict = step(state, 0.0)
    assert isinstance(verdict, Verdict)
    assert verdict.prediction > 0.5 and verdict.log_odds == fitted(kind).fuse(said(2.0, 3.0, 4.0))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sum"])
def test_without_the_dear_member_it_is_about_as_good_as_the_others_are(kind):
    rows = world(1200, seed=6, views=False)
    cut = replace(rows, log_odds=np.where(np.arange(3) < 2, rows.log_odds, np.nan))
    summed = (np.nansum(cut.log_odds, axis=1) > 0) == rows.roadwork
    assert ((fitted(kind).log_odds(cut) > 0) == rows.roadwork).mean() > summed.mean() - 0.04


@each_kind
def test_it_follows_its_members(kind):
    low, high = (fitted(kind).fuse(said(*[value] * 3)) for value in (-3.0, 3.0))
    assert low < -0.5 and high > 0.5


def test_the_digest_is_of_all_that_has_an_effect():
    plain = Fitted("sum", Total(MEMBERS))
    changed = [
        plain.calibrated(Calibration(2.0)),
        plain.calibrated(Calibration(), 0.3),
        replace(plain, model=Total(MEMBERS[:2])),
        replace(plain, names={"vlm": ("mass",)}),
    ]
    assert len({plain.digest, *(each.digest for each in changed)}) == 5
    assert replace(plain, comparison={"rows": 3}).digest == plain.digest
    assert plain.digest.startswith("sum:")


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "oracle"},
        {"digest": "sum:0"},
        {"prior": 0.4},
        {"calibration": {"temperature": 0, "threshold": 0.5}},
        {"model": {"members": ["a"]}},
        {"model": None},
        {"names": []},
    ],
)
def test_a_file_that_is_not_right_is_named(tmp_path, change):
    path = tmp_path / "fusion.json"
    save(fitted("logistic"), path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=r"fusion\.json: not a fusion"):
        load(path)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"kind": NaN}', "null"])
def test_nonsense_is_named(tmp_path, text):
    path = tmp_path / "fusion.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"fusion\.json: not a fusion"):
        load(path)


def test_arrays_that_do_not_fit_are_found_at_loading(tmp_path):
    good = fitted("logistic")
    save(replace(good, model=replace(good.model, slopes=np.ones((8, 2)))), tmp_path / "fusion.json")
    with pytest.raises(ValueError, match="not a fusion"):
        load(tmp_path / "fusion.json")


def test_what_cannot_be_fitted_says_why():
    with pytest.raises(ValueError, match="there is no fusion 'oracle'; there are sum, logistic"):
        fit("oracle", world())
    rows = world()
    with pytest.raises(ValueError, match="both labels"):
        fit("logistic", rows.pick(rows.roadwork))

"""Learned deferral: gain models read what matters, export what sklearn fitted, and must beat the band."""

from __future__ import annotations

import numpy as np
import pytest

from models.cascade import Plan
from models.deferral import Deferral, load
from models.fusion.rows import Rows
from models.gain import Trees
from models.learn.cascade.__main__ import deferral as write_deferral
from models.learn.cascade.decide import fuse
from models.learn.cascade.deferrals import FITS, fit_gain, moves, states, try_out, walk
from models.learn.cascade.margins import leave
from models.learn.replay import replay
from models.learn.subsets import fused_by_subset, heard_only, subsets
from models.learn.traces import Heard

NAMES = ("classifier", "regions", "small_vlm")
COSTS = (10.0, 40.0, 20.0)


def heard_of(groups=40, per=10):
    """In the dark, which the picture tells and the margin does not, only the regions are right; else all."""
    rng = np.random.default_rng(3)
    count = groups * per
    roadwork = np.repeat(np.arange(groups) % 2 == 0, per)
    truth, dark = np.where(roadwork, 1.0, -1.0), rng.random(count) < 0.4
    noise = rng.normal(0, 0.3, (count, 3))
    guess = rng.choice([-1.0, 1.0], count)
    said = (
        2 * np.column_stack([np.where(dark, guess, truth), 2 * truth, np.where(dark, guess, truth)]) + noise
    )
    rows = Rows(NAMES, said, roadwork, np.repeat([f"g{n}" for n in range(groups)], per))
    scenes = tuple({"brightness": 0.1 if each else 0.8} for each in dark)
    regimes = np.full(count, "native")
    return Heard(rows, np.full(count, "s"), regimes, np.tile(COSTS, (count, 1)), ("1", "2", "3"), scenes)


@pytest.fixture(scope="module")
def heard():
    return heard_of()


@pytest.fixture(scope="module")
def fusions(heard):
    return fuse(heard.rows, ("sum",), seed=0, say=lambda text: None)


def test_every_set_with_the_first_member_is_fused_as_if_nobody_else_had_spoken(heard, fusions):
    sets = subsets(NAMES)
    assert [len(each) for each in sets] == [1, 2, 2, 3] and all("classifier" in each for each in sets)
    fused = fused_by_subset(fusions.choice.fitted, heard.rows)
    assert set(fused) == set(sets)
    assert np.allclose(fused[frozenset(NAMES)], fusions.prefixes[:, -1])
    alone = heard_only(heard.rows, frozenset(("classifier",)))
    assert np.isnan(alone.log_odds[:, 1:]).all() and not np.isnan(alone.log_odds[:, 0]).any()


@pytest.mark.parametrize("kind", FITS)
def test_a_gain_model_foretells_where_asking_mends(kind, heard, fusions):
    fused = fused_by_subset(fusions.choice.fitted, heard.rows)
    known = states(heard, fused)
    found = moves("regions", known, fused, heard.rows.roadwork)
    assert set(np.unique(found.gain)) <= {-1.0, 0.0, 1.0}
    model = fit_gain(kind, found, heard.rows.roadwork)
    first = known[frozenset(("classifier",))]
    gains = np.array([model.gain(each) for each in first])
    dark = np.array([each["brightness"] < 0.5 for each in heard.scenes])
    assert gains[dark].mean() > 0.3 > 0.1 > gains[~dark].mean()


def test_trees_say_what_sklearn_says():
    from sklearn.ensemble import GradientBoostingRegressor

    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4)).astype(np.float32).astype(float)
    y = np.sign(x[:, 0] + rng.normal(0, 0.5, 400))
    ours = FITS["trees"](x, y, np.ones(400), 0)
    theirs = GradientBoostingRegressor(
        n_estimators=100, max_depth=2, learning_rate=0.05, subsample=0.7, min_samples_leaf=40, random_state=0
    ).fit(x, y, sample_weight=np.ones(400))
    assert isinstance(ours, Trees)
    assert np.allclose([ours.of(row.tolist()) for row in x], theirs.predict(x), atol=1e-9)


def test_it_beats_the_band_where_the_margin_does_not_tell_and_asks_the_right_one(heard, fusions, tmp_path):
    band = 0.5
    left = leave(fusions.prefixes, band)
    spent = float(left.cost_ms(np.array(COSTS)).mean()) + 18
    tried, best = try_out(heard, fusions.choice.fitted, COSTS, heard.answers(left.scores), spent)
    assert {each.kind for each in tried} == set(FITS)
    assert any(each.beats for each in tried) and all(each.cost_ms <= spent + 1e-6 for each in tried)
    found = replay(heard, Plan(fusions.choice.fitted.fuse, deferral=best))
    dark = np.array([each["brightness"] < 0.5 for each in heard.scenes])
    assert found.asked[dark, 1].mean() > 0.8 and found.asked[~dark, 1].mean() < 0.2
    banded = {"band": band, "cost_ms": spent}
    assert write_deferral(tmp_path, heard, fusions, COSTS, banded, 0) == tried
    assert load(tmp_path / "deferral.json").digest == best.digest


def test_a_higher_price_never_asks_more(heard, fusions):
    fused = fused_by_subset(fusions.choice.fitted, heard.rows)
    rng = np.random.default_rng(1)
    gains = {
        (each, name): rng.normal(0, 0.3, len(heard)) for each in fused for name in NAMES if name not in each
    }
    asked = [walk(NAMES, COSTS, fused, gains, price).asked.sum() for price in (0.0, 1e-3, 1e-2, 1.0)]
    assert asked == sorted(asked, reverse=True) and asked[-1] == len(heard)


def test_the_replay_takes_the_same_way_as_the_reckoning(heard, fusions):
    fused = fused_by_subset(fusions.choice.fitted, heard.rows)
    fitted = fusions.choice.fitted
    possible = {n: moves(n, states(heard, fused), fused, heard.rows.roadwork) for n in NAMES[1:]}
    models = {name: fit_gain("trees", each, heard.rows.roadwork) for name, each in possible.items()}
    plan = Plan(fitted.fuse, deferral=Deferral(models, dict(zip(NAMES[1:], COSTS[1:], strict=True)), 0.002))
    served = {each: fitted.log_odds(heard_only(heard.rows, each)) for each in fused}
    known = states(heard, served)
    gains = {
        (each, name): np.array([models[name].gain(row) for row in known[each]])
        for each in served for name in NAMES[1:] if name not in each
    }  # fmt: skip
    reckoned, replayed = walk(NAMES, COSTS, served, gains, 0.002), replay(heard, plan)
    assert (reckoned.asked == replayed.asked).all() and np.allclose(reckoned.scores, replayed.scores)

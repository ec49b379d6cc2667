import json
from dataclasses import replace

import numpy as np
import pytest
from fusion_kit import world

from models.calibration import Calibration
from models.fusion import registry
from models.fusion.choose import choose, fit_calibration, out_of_fold, recalibrated, winner
from models.fusion.compare import line
from models.fusion.registry import Fitted
from models.fusion.rows import Rows
from models.fusion.training import folds

FAST = ("sum", "logistic")


def only_together(count=400, seed=0):
    """Either member alone says nothing; roadwork is where their signs agree."""
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(0, 2, (count, 2))
    roadwork = log_odds.prod(axis=1) + rng.normal(0, 0.3, count) > 0
    return Rows(("a", "b"), log_odds, roadwork, (np.arange(count) // 2).astype(str))


def test_logistic_stays_where_nothing_is_better():
    choice = choose(world(200, absent=0.1), FAST, draws=100)
    assert choice.fitted.kind == "logistic" and "logistic stays" in choice.table()
    assert [each.name for each in choice.lines] == [
        *("logistic", "sum"),
        *("classifier alone", "regions alone", "vlm alone"),
    ]
    assert choice.lines[0].gain is None and not any(each.beats for each in choice.lines[:2])


def test_another_kind_replaces_it_where_it_is_better_beyond_the_interval():
    choice = choose(only_together(), ("residual", "sum"), draws=50)
    found = next(each for each in choice.lines if each.name == "residual")
    assert found.beats and found.gain > 0.3 and choice.level == pytest.approx(0.975)
    assert choice.fitted.kind == "residual" and "residual replaces logistic" in choice.table()


def test_of_those_that_are_better_the_plainest_stays_that_none_beats():
    rng = np.random.default_rng(0)
    rows = world(400, views=False)
    told = rng.normal(0, 1, 400) + np.where(rows.roadwork, 2.0, -2.0)
    rows = replace(rows, features={"regions": np.stack([told, told], axis=1)})
    choice = choose(rows, ("sum", "wide"), draws=50)
    assert choice.fitted.kind == "wide" and choice.lines[2].name == "wide" and choice.lines[2].beats
    said = choice.said | {"meta": choice.said["wide"], "residual": np.where(rows.roadwork, 1.0, -1.0)}
    lines = [line(kind, each, choice.said["logistic"], rows, 0.95, 50) for kind, each in said.items()]
    assert (
        winner(lines, {kind: said[kind] for kind in ("logistic", "wide", "meta")}, rows, 0.95, 50) == "wide"
    )
    assert winner(lines, said, rows, 0.95, 50) == "residual"


def test_what_cannot_be_fitted_is_a_line_that_says_why():
    choice = choose(world(100, views=False), ("attention",), draws=20)
    assert choice.fitted.kind == "logistic"
    assert "| attention | not fitted: no row tells cameras apart | | |" in choice.table()
    with pytest.raises(ValueError, match="cameras apart"):
        choose(world(100, views=False), FAST, insist="attention", draws=20)


def test_what_is_insisted_on_is_taken_and_said_to_be_no_better():
    choice = choose(world(100), FAST, insist="sum", draws=20)
    assert choice.fitted.kind == "sum" and "not better than logistic" in choice.sentence()


def test_a_kind_is_judged_on_sequences_it_never_saw(monkeypatch):
    rows = world(100)
    fold = folds(rows, 5, 0)
    seen = []

    def spy(kind, part, seed=0):
        seen.append(set(part.groups.tolist()))
        return registry.fit(kind, part, seed)

    monkeypatch.setattr("models.fusion.choose.fit", spy)
    out_of_fold("logistic", rows, fold)
    assert [groups & set(rows.groups[fold == part].tolist()) for part, groups in enumerate(seen)] == [
        set()
    ] * 5


def test_calibration_of_a_fold_does_not_look_at_it():
    rows = world(200)
    fold, said = folds(rows, 5, 0), 3 * rows.log_odds[:, 0]
    before = recalibrated(said, rows.roadwork, fold)
    flipped = np.where(fold == 2, ~rows.roadwork, rows.roadwork)
    after = recalibrated(said, flipped, fold)
    np.testing.assert_array_equal(before[fold == 2], after[fold == 2])
    assert (before != after)[fold != 2].all()


def test_calibration_undoes_what_was_done_to_honest_log_odds():
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, 20_000)
    roadwork = rng.random(20_000) < 1 / (1 + np.exp(-honest))
    found = fit_calibration(3 * honest + 1, roadwork)
    assert found.temperature == pytest.approx(3, rel=0.1)
    assert found.apply(1.0) == pytest.approx(0, abs=0.1)


def test_the_chosen_prior_moves_the_decision():
    rows = world(200)
    even, rare = (choose(rows, FAST, prior=prior, draws=20).fitted for prior in (0.5, 0.1))
    gap = even.log_odds(rows) - rare.log_odds(rows)
    assert gap == pytest.approx(np.log(9))
    assert rare.prior == 0.1


def test_the_comparison_is_kept_in_the_file():
    fitted = choose(world(100, views=False), ("sum", "attention"), draws=20).fitted
    assert isinstance(fitted, Fitted) and fitted.calibration != Calibration()
    found = json.loads(json.dumps(fitted.comparison, allow_nan=False))
    assert found["rows"] == 100 and [each["name"] for each in found["lines"]][:3] == [
        "logistic",
        "sum",
        "attention",
    ]
    assert found["lines"][2]["mcc"] is None


def test_absurd_requests_are_refused():
    rows = world(100)
    with pytest.raises(ValueError, match="no fusion 'oracle'"):
        choose(rows, ("oracle",))
    with pytest.raises(ValueError, match="cannot fill 5 folds"):
        choose(rows.pick(np.arange(8)), FAST)
    with pytest.raises(ValueError, match="both labels"):
        choose(replace(rows, roadwork=np.ones(100, bool)), FAST)

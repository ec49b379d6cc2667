"""An arbiter is heard although no fusion was fitted on it; another stranger is named."""

from __future__ import annotations

import pytest
from fusion_kit import MEMBERS, fitted

from models.core import Evidence
from models.description import Description, decide, unheard
from models.fusion.last_word import with_last_word
from models.fusion.registry import save

SAID = tuple(Evidence(name, "1", log_odds) for name, log_odds in zip(MEMBERS, (0.8, -0.6, 0.3), strict=True))
ARBITER = Evidence("judge", "1", -4.0)


@pytest.fixture
def described(tmp_path) -> Description:
    save(fitted("logistic"), tmp_path / "fusion.json")
    tiers = (*({"kind": name} for name in MEMBERS), {"kind": "arbiter", "name": "judge"})
    return Description("mine", tiers, fusion=str(tmp_path / "fusion.json"))


def members(*more: str) -> list[tuple[str, str]]:
    return [(name, "1") for name in (*MEMBERS, *more)]


def test_its_log_odds_are_added_to_what_was_fitted(described):
    plan, _ = decide(described, members("judge"))
    before = fitted("logistic").fuse(SAID)
    assert plan.fuse(SAID) == before
    assert plan.fuse([*SAID, ARBITER]) == pytest.approx(before - 4.0)
    assert plan.fuse([ARBITER]) == -4.0 and plan.fuse([]) is None


def test_the_plan_knows_the_prior_that_the_fusion_was_moved_to(described, tmp_path):
    assert decide(described, members())[0].prior == 0.5
    moved = fitted("logistic").calibrated(fitted("logistic").calibration, prior=0.15)
    save(moved, tmp_path / "fusion.json")
    assert decide(described, members())[0].prior == 0.15


def test_whom_nothing_was_fitted_on_and_who_is_no_arbiter_is_named(described):
    assert unheard(described, members("judge", "qwen")) == ("qwen",)
    assert unheard(Description("plain", described.tiers), members("judge", "qwen")) == ()


def test_any_number_of_extremes_stays_finite():
    fuse = with_last_word(fitted("logistic").fuse, {"judge", "other"})
    extreme = [Evidence(name, "1", 1e308) for name in ("judge", "other")]
    found = fuse([*SAID, *extreme])
    assert found is not None and 0 < found < 1e9

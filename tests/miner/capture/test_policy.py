"""Which answers are kept, and that what is kept still says something about all of them."""

import random

import pytest
from capture_kit import verdict
from hypothesis import given
from hypothesis import strategies as st

from miner.capture.policy import AUDIT, DISAGREE, DRIFT, NEAR, Rates, applying, choose, in_words
from models.core import Verdict


@pytest.mark.parametrize(
    ("answer", "drifting", "policies"),
    [
        (verdict(4.0), False, {AUDIT}),
        (verdict(-0.9), False, {AUDIT, NEAR}),
        (verdict(3.0, fast=-1.0, slow=2.0), False, {AUDIT, DISAGREE}),
        (verdict(3.0, fast=-0.1, slow=2.0), False, {AUDIT}),
        (verdict(4.0), True, {AUDIT, DRIFT}),
        (Verdict("v", 0.9, 5.0), False, {AUDIT}),
    ],
)
def test_the_verdict_alone_says_which_policies_apply(answer, drifting, policies):
    assert set(applying(answer, Rates(), drifting=drifting)) == policies


def test_what_was_kept_weighted_by_its_propensity_gives_the_rates_of_all():
    """A stream in which errors sit near the threshold: what is kept is full of them, the estimate is not."""
    rates, luck, draw = Rates(near=0.5, audit=0.05), random.Random(7), random.Random(8).random
    errors = kept = kept_errors = 0
    weighted, count = 0.0, 40_000
    for _ in range(count):
        log_odds = luck.gauss(0, 3)
        wrong = luck.random() < (0.4 if abs(log_odds) < 1 else 0.02)
        errors += wrong
        choice = choose(applying(verdict(log_odds), rates, drifting=False), draw)
        if choice is not None:
            kept, kept_errors = kept + 1, kept_errors + wrong
            weighted += wrong / choice.propensity
    assert kept_errors / kept > 2 * errors / count, "the naive figure is far off"
    assert weighted / count == pytest.approx(errors / count, rel=0.08)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_the_propensity_is_the_chance_of_any_coin(rates):
    policies = dict(zip((NEAR, DISAGREE, DRIFT, AUDIT), rates, strict=False))
    missed = 1.0
    for rate in rates:
        missed *= 1 - rate
    choice = choose(policies, lambda: 0.0)
    if max(rates) == 0:
        assert choice is None
    else:
        assert choice is not None and choice.propensity == pytest.approx(1 - missed)
        assert set(choice.reasons) == {name for name, rate in policies.items() if rate > 0}


def test_reasons_are_told_in_words():
    assert in_words("near,audit") == "near the threshold, random audit"

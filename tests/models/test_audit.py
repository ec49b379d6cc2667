"""Audits: a coin that can be tossed again, and an estimate without bias."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.audit import Audit, coin, estimate, read


def test_the_coin_falls_as_often_as_asked_and_always_the_same():
    ids = [f"request-{number}" for number in range(20_000)]
    heads = [id for id in ids if coin(id, 0.02)]
    assert abs(len(heads) / len(ids) - 0.02) < 3 * math.sqrt(0.02 * 0.98 / len(ids))
    assert heads == [id for id in ids if coin(id, 0.02)]
    assert set(heads) != {id for id in ids if coin(id, 0.02, salt="other")}
    assert set(heads) < {id for id in ids if coin(id, 0.1)}, "a larger share audits those too"


@given(st.text())
def test_never_and_always(id):
    assert not coin(id, 0.0) and coin(id, 1.0)


@given(st.text(max_size=20), st.booleans(), st.floats(1e-6, 1))
def test_a_note_is_read_back(tier, roadwork, propensity):
    audit = Audit(tier, roadwork, propensity)
    assert read(["deadline", audit.note(), "cached"]) == audit


def test_no_audit_among_the_notes():
    assert read([]) is None and read(["audit", "failed:audit:x", "deadline"]) is None


def test_the_estimate_is_unbiased_on_full_feedback():
    """Every loss is known here; the audited few must give the same mean, whatever the propensities."""
    rng = np.random.default_rng(0)
    loss = (rng.random(4000) < 0.03).astype(float)
    chance = rng.choice([0.01, 0.02, 0.2], 4000)
    found = []
    for _ in range(400):
        audited = rng.random(4000) < chance
        found.append(estimate(list(zip(loss[audited], chance[audited], strict=True)), 4000))
    values = np.array([each.value for each in found])
    assert abs(values.mean() - loss.mean()) < 4 * values.std() / math.sqrt(400)
    naive = [loss[rng.random(4000) < chance * (1 + 3 * loss)].mean() for _ in range(50)]
    assert abs(np.mean(naive) - loss.mean()) > 0.02, "a plain mean over a chosen few is not"
    assert np.sqrt(np.mean([each.error**2 for each in found])) == pytest.approx(values.std(), rel=0.15)


def test_estimates_of_nothing_and_of_nonsense():
    assert math.isnan(estimate([], 0).value)
    assert estimate([], 10).value == 0
    for losses, exits in (([(1.0, 0.0)], 3), ([(1.0, 0.5), (0.0, 0.5)], 1), ([(1.0, 1.5)], 3)):
        with pytest.raises(ValueError, match="propensity"):
            estimate(losses, exits)

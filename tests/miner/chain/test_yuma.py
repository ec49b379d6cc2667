from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.chain.yuma import Member, epoch, stake_median

approx = pytest.approx


def validator(stake, **fields):
    return Member(
        **{"stake": stake, "permit": True, "active": True, "registered": 0, "last_update": 9, **fields}
    )


def miner(**fields):
    return Member(
        **{"stake": 0.0, "permit": False, "active": True, "registered": 0, "last_update": 0, **fields}
    )


A, B, M1, M2 = range(4)
MEMBERS = [validator(6000.0), validator(4000.0), miner(), miner()]
WEIGHTS = {A: {M1: 0.8, M2: 0.2}, B: {M1: 0.5, M2: 0.5}}


def test_an_epoch_worked_by_hand():
    # Stake .6/.4. Consensus: M1 0.8 (only B's 40 % give less), M2 0.2 (A's 60 % give no more).
    # Ranks: M1 .6*.8 + .4*.5 = .68, M2 .6*.2 + .4*.2 = .20. Incentive .68/.88 and .20/.88.
    # Bonds per column: M1 .48/.68 and .20/.68, M2 .6 and .4. Dividends: A 15/22, B 7/22.
    done = epoch(MEMBERS, WEIGHTS, {})
    assert done.incentive == approx([0, 0, 0.68 / 0.88, 0.20 / 0.88])
    assert done.dividends == approx([15 / 22, 7 / 22, 0, 0])
    assert done.consensus == approx([0, 0, 0.8, 0.2])
    assert done.permits == [True, True, False, False]
    assert done.bonds == {A: {M1: 1.0, M2: 1.0}, B: approx({M1: 0.20 / 0.48, M2: 0.4 / 0.6})}


def test_bonds_follow_a_changed_mind_slowly():
    # Second epoch: B agrees with A. Its bonds on M1 would be .6/.4, the old are .48/.68 and .20/.68; a tenth
    # of the new counts.
    first = epoch(MEMBERS, WEIGHTS, {})
    second = epoch(MEMBERS, {A: WEIGHTS[A], B: WEIGHTS[A]}, first.bonds, last_epoch=5)
    bond = 0.1 * 0.6 + 0.9 * (0.48 / 0.68)
    assert second.incentive == approx([0, 0, 0.8, 0.2])
    assert second.dividends[A] == approx(bond * 0.8 + 0.6 * 0.2)


def test_a_newcomer_inherits_no_bonds_and_a_lost_permit_ends_them():
    members = [MEMBERS[A], MEMBERS[B], MEMBERS[M1], miner(registered=5)]
    old = {A: {M1: 1.0, M2: 1.0}, B: {M1: 1.0, M2: 0.1}}
    bonds = epoch(members, WEIGHTS, old, last_epoch=5, max_validators=1).bonds
    assert bonds[A] == {M1: 1.0, M2: 1.0}
    assert B not in bonds
    kept = epoch(members, WEIGHTS, old, last_epoch=5).bonds
    assert kept[B][M2] == approx(0.4 / 0.6)  # of this epoch alone


def test_a_minority_cannot_lift_its_favourite():
    weights = {A: {M1: 1.0}, B: {M2: 1.0}}
    assert epoch(MEMBERS, weights, {}).incentive == approx([0, 0, 1, 0])


def test_rows_without_permit_self_weights_and_newcomers_count_for_nothing():
    members = [validator(6000.0), validator(4000.0, permit=False), miner(), miner(registered=9)]
    done = epoch(members, {A: {A: 5.0, M1: 1.0, M2: 7.0}, B: {M2: 1.0}}, {})
    assert done.incentive == approx([0, 0, 1, 0])


def test_the_owner_may_weigh_itself():
    assert epoch(MEMBERS, {A: {A: 1.0}}, {}, owner_uid=A).incentive == approx([1, 0, 0, 0])


def test_without_weights_nobody_earns():
    done = epoch(MEMBERS, {}, {})
    assert done.incentive == done.dividends == [0, 0, 0, 0]


def test_permits_go_to_the_largest_stakes():
    members = [validator(s) for s in (5.0, 0.0, 7.0, 5.0)]
    assert epoch(members, {}, {}, max_validators=2).permits == [False, False, True, True]
    assert epoch(members, {}, {}, max_validators=9).permits == [True, False, True, True]


@given(st.lists(st.tuples(st.floats(0.01, 10), st.floats(0, 1)), min_size=1, max_size=8), st.floats(0.1, 0.9))
def test_the_stake_median_is_the_least_score_with_enough_stake_at_or_below(rows, kappa):
    stakes, scores = [s for s, _ in rows], [x for _, x in rows]
    median = stake_median(stakes, scores, kappa)
    minority = sum(stakes) * (1 - kappa)
    ordered = sorted(zip(scores, stakes, strict=True))
    assert median in scores
    assert sum(w for x, w in ordered if x < median) <= minority + 1e-9
    assert sum(w for x, w in ordered if x <= median) > minority - 1e-9


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=5, max_size=5), min_size=5, max_size=5),
    st.lists(st.floats(0, 1e4), min_size=5, max_size=5),
)
def test_shares_are_shares(matrix, stakes):
    members = [validator(s) for s in stakes]
    done = epoch(members, {v: dict(enumerate(row)) for v, row in enumerate(matrix)}, {})
    for shares in (done.incentive, done.dividends):
        assert min(shares) >= 0
        assert sum(shares) == approx(1.0) or sum(shares) == 0

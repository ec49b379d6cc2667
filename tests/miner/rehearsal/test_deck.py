"""Who is asked."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from miner.chain.snapshot import Neuron, Snapshot
from miner.rehearsal.deck import Deck, Target, eligible


def neuron(uid: int, axon: str | None, *, stake: float = 0.0, permit: bool = False) -> Neuron:
    return Neuron(uid, f"hotkey{uid}", "cold", stake, permit, axon, 0.0, 0.0, 0.0, 0, 0, True)


def snapshot(*neurons: Neuron) -> Snapshot:
    return Snapshot(72, 100, 360, 0.0, 0.003, "owner", 1, 256, neurons)


def test_only_serving_miners_are_eligible():
    found = eligible(
        snapshot(
            neuron(0, None),
            neuron(1, "10.0.0.1:8091"),
            neuron(2, "0.0.0.0:8091"),
            neuron(3, "[2001:db8::1]:9000"),
            neuron(4, "10.0.0.1:0"),
        )
    )
    assert found == {
        1: Target(1, "hotkey1", "10.0.0.1", 8091),
        3: Target(3, "hotkey3", "2001:db8::1", 9000),
    }


def test_a_large_validator_is_never_asked_but_a_small_one_or_a_rich_miner_is():
    axon = "10.0.0.1:8091"
    found = eligible(
        snapshot(
            neuron(0, axon, stake=40_097, permit=True),
            neuron(1, axon, stake=40_096, permit=True),
            neuron(2, axon, stake=90_000),
        )
    )
    assert set(found) == {1, 2}


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 30), st.integers())
def test_everybody_is_asked_equally_often(miners, sample, rounds, seed):
    deck = Deck(random.Random(seed), sample)
    asked = Counter(uid for _ in range(rounds) for uid in deck.deal(range(miners)))
    counts = [asked[uid] for uid in range(miners)]
    assert max(counts) - min(counts) <= 1


def test_hands_are_no_larger_than_the_sample_or_the_miners():
    deck = Deck(random.Random(0), sample=3)
    assert len(deck.deal(range(5))) == 3
    assert len(deck.deal([7])) == 1
    assert deck.deal([]) == []


def test_who_left_is_not_dealt_any_more():
    deck = Deck(random.Random(0), sample=2)
    deck.deal(range(6))
    dealt = {uid for _ in range(9) for uid in deck.deal([4, 5])}
    assert dealt == {4, 5}

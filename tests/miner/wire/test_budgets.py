"""Token buckets: nobody spends more than its own, and the table does not grow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_kit import Clock

from miner.wire.budgets import TokenBuckets, network


def test_burst_then_rate():
    clock = Clock()
    buckets = TokenBuckets(2.0, 3, clock=clock.now)
    assert [buckets.take("a") for _ in range(4)] == [True, True, True, False]
    clock.advance(0.5)
    assert [buckets.take("a") for _ in range(2)] == [True, False]
    clock.advance(3600)
    assert [buckets.take("a") for _ in range(4)] == [True, True, True, False]


def test_one_key_spends_nothing_of_another():
    buckets = TokenBuckets(1.0, 1, clock=Clock().now)
    assert buckets.take("a")
    assert not buckets.take("a")
    assert buckets.take("b")


def test_what_is_given_back_can_be_spent_again():
    buckets = TokenBuckets(1.0, 2, clock=Clock().now)
    for _ in range(10):
        assert buckets.take("honest")
        buckets.give_back("honest")
    assert len(buckets) == 0  # a full bucket is not worth remembering
    assert buckets.take("a")
    assert buckets.take("a")
    buckets.give_back("a")
    assert buckets.take("a")
    assert not buckets.take("a")


def test_looking_spends_nothing_and_remembers_nobody():
    clock = Clock()
    buckets = TokenBuckets(1.0, 1, clock=clock.now)
    assert buckets.left("a") and buckets.left("a") and len(buckets) == 0
    assert buckets.take("a")
    assert not buckets.left("a") and buckets.left("b")
    clock.advance(1)
    assert buckets.left("a") and buckets.take("a") and not buckets.left("a")


def test_giving_back_never_overfills():
    buckets = TokenBuckets(1.0, 1, clock=Clock().now)
    for _ in range(5):
        buckets.give_back("a")
    assert buckets.take("a")
    assert not buckets.take("a")


def test_memory_is_bounded_and_whoever_comes_back_is_remembered():
    buckets = TokenBuckets(0.001, 100, keep=50, clock=Clock().now)
    taken = 0
    for i in range(10_000):
        buckets.take(f"stranger {i}")
        if i % 10 == 0:
            taken += buckets.take("regular")
    assert len(buckets) == 50
    assert taken == 100


def test_a_clock_that_stands_still_or_goes_back_fills_nothing():
    clock = Clock()
    buckets = TokenBuckets(1.0, 1, clock=clock.now)
    assert buckets.take("a")
    clock.advance(-100)
    assert not buckets.take("a")


@given(
    steps=st.lists(st.floats(0, 3), min_size=1, max_size=60),
    rate=st.floats(0.1, 50),
    burst=st.integers(1, 20),
)
def test_never_more_than_burst_plus_rate_times_time(steps, rate, burst):
    clock = Clock()
    buckets = TokenBuckets(rate, burst, clock=clock.now)
    taken = 0
    for step in steps:
        clock.advance(step)
        taken += sum(buckets.take("a") for _ in range(3))
    assert taken <= burst + rate * sum(steps) + 1e-6


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("testclient", "testclient"),
    ],
)
def test_network(address, expected):
    assert network(address) == expected

"""The rule by which a member is worth asking."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.deferral import Offer, choose, offers, price_for

OFFERS = st.lists(
    st.builds(Offer, st.sampled_from("abcdef"), st.floats(-1, 1), st.floats(0.1, 1e4)),
    unique_by=lambda o: o.tier,
)


@given(OFFERS)
def test_free_asks_whenever_there_is_something_to_gain_and_dear_never(some):
    assert (choose(some, 0.0) is not None) == any(offer.gain / offer.cost_ms > 0 for offer in some)
    assert choose(some, math.inf) is None


@given(OFFERS, st.floats(0, 1), st.randoms())
def test_the_order_of_offers_does_not_matter(some, price, random):
    assert choose(some, price) == choose(random.sample(some, len(some)), price)


def test_ties_go_to_the_cheaper_then_the_name():
    assert choose([Offer("b", 0.5, 10), Offer("a", 0.25, 5), Offer("c", 0.25, 5)], 0.0) == "a"


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0.1, 100)), min_size=1), st.floats(0, 100))
def test_the_price_keeps_the_budget(images, budget):
    def spent(price: float) -> float:
        return sum(cost for gain, cost in images if choose([Offer("x", gain, cost)], price)) / len(images)

    price = price_for(spent, budget, highest=10.0)
    assert spent(price) <= budget
    assert price == 0 or spent(price * (1 - 1e-6)) > budget or price < 1e-12


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="cost of a"):
        offers({"a": 0.5}, {"a": 0.0})
    with pytest.raises(ValueError, match="price"):
        choose([], math.nan)
    with pytest.raises(ValueError, match="no price"):
        price_for(lambda _: 2.0, 1.0, highest=1.0)

"""Whom to ask next, by what it would gain for what it costs: the rule and its price, without a gain model.

`gain` is P(the member corrects the answer) - P(it spoils it), in [-1, 1]; costs are milliseconds > 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Offer:
    """What asking `tier` would bring (`gain`) and take (`cost_ms`)."""

    tier: str
    gain: float
    cost_ms: float

    def __post_init__(self) -> None:
        if not -1 <= self.gain <= 1:
            raise ValueError(f"the gain of {self.tier} must lie in [-1, 1], got {self.gain}")
        if not 0 < self.cost_ms < math.inf:
            raise ValueError(f"the cost of {self.tier} must be above 0 ms, got {self.cost_ms}")


def choose(offers: Sequence[Offer], price: float) -> str | None:
    """The tier with the most gain per millisecond among those with gain > price * cost; None: ask nobody.

    `price` >= 0 is gain per millisecond. Ties go to the cheaper, then to the name, whatever the order.
    """
    if not price >= 0:
        raise ValueError(f"a price must be at least 0, got {price}")
    worth = [offer for offer in offers if offer.gain > 0 and offer.gain / offer.cost_ms > price]
    if not worth:
        return None
    return min(worth, key=lambda offer: (-offer.gain / offer.cost_ms, offer.cost_ms, offer.tier)).tier


def price_for(spent: Callable[[float], float], budget_ms: float, highest: float, steps: int = 60) -> float:
    """The lowest price in [0, highest] found by bisection at which `spent(price)`, mean ms per image, keeps
    `budget_ms`. `spent` must not rise with the price. ValueError if even `highest` does not keep it."""
    if spent(0.0) <= budget_ms:
        return 0.0
    if spent(highest) > budget_ms:
        raise ValueError(f"no price up to {highest} keeps {budget_ms} ms")
    low = 0.0
    for _ in range(steps):
        middle = (low + highest) / 2
        low, highest = (low, middle) if spent(middle) <= budget_ms else (middle, highest)
    return highest


def offers(gains: Mapping[str, float], costs_ms: Mapping[str, float]) -> tuple[Offer, ...]:
    """One offer per tier of `gains`; KeyError for a tier without a cost."""
    return tuple(Offer(tier, gain, costs_ms[tier]) for tier, gain in gains.items())

"""Whom to ask next, by what it would gain for what it costs: an orchestrator in a few hundred numbers.

Every member that is alive makes an offer: the gain that its model foretells from the evidence so far and the
picture, and its milliseconds. The best gain per millisecond is taken if it is above the price; else what was
said so far is the answer. That is the optimal rule to defer by if the gains are true (Jitkrittum et al.,
"When does confidence-based cascade deferral suffice?", NeurIPS 2023). No certificate comes of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from models import difficulty
from models.core import Evidence
from models.gain import GainModel


@dataclass(frozen=True, slots=True)
class Offer:
    """What asking `tier` would bring (`gain`, in [-1, 1]) and take (`cost_ms` > 0)."""

    tier: str
    gain: float
    cost_ms: float


def choose(offers: Sequence[Offer], price: float) -> str | None:
    """The tier with the most gain per millisecond among those above `price`; None: ask nobody.

    Ties go to the cheaper, then to the name, whatever the order.
    """
    worth = [offer for offer in offers if offer.gain > 0 and offer.gain / offer.cost_ms > price]
    if not worth:
        return None
    return min(worth, key=lambda offer: (-offer.gain / offer.cost_ms, offer.cost_ms, offer.tier)).tier


def price_for(spent: Callable[[float], float], budget_ms: float, highest: float = 1.0) -> float:
    """The lowest price in [0, highest] found by bisection at which `spent(price)`, mean ms per image, keeps
    `budget_ms`; `highest` if even that does not. `spent` must not rise with the price."""
    if spent(0.0) <= budget_ms:
        return 0.0
    low, high = 0.0, highest
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if spent(middle) <= budget_ms else (middle, high)
    return high


@dataclass(frozen=True)
class Deferral:
    """`gains` of each member but the first, who is always asked; `cost_ms` of the same where it was fitted;
    `price` in gain per millisecond; `record` how it was chosen, of no effect."""

    gains: Mapping[str, GainModel]
    cost_ms: Mapping[str, float]
    price: float
    record: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.price) and self.price >= 0):
            raise ValueError(f"a price must be at least 0, got {self.price}")
        costs = [self.cost_ms[name] for name in self.gains]
        if not all(0 < cost < math.inf for cost in costs):
            raise ValueError(f"every member costs more than 0 ms, not {costs}")

    def next(
        self, said: Sequence[Evidence], fused: float, scene: Mapping[str, float], alive: Sequence[str]
    ) -> str | None:
        """Whom of `alive` to ask after `said`, which comes to the log-odds `fused`; None: nobody.

        `scene` the picture's difficulty; what it lacks counts as average. A member without a gain model is
        never asked.
        """
        features = {**scene, **difficulty.evidence(said, fused)}
        offers = [
            Offer(name, self.gains[name].gain(features), self.cost_ms[name])
            for name in alive
            if name in self.gains
        ]
        return choose(offers, self.price)

    @cached_property
    def digest(self) -> str:
        """sha256 in hex over everything that has an effect."""
        text = json.dumps(self._content(), sort_keys=True, separators=(",", ":"))
        return sha256(text.encode()).hexdigest()

    def _content(self) -> dict[str, Any]:
        gains = {name: model.to_json() for name, model in self.gains.items()}
        return {"price": self.price, "cost_ms": dict(self.cost_ms), "gains": gains}

    def save(self, path: Path) -> None:
        """One JSON file; `load` is the inverse."""
        content = {**self._content(), "record": dict(self.record), "digest": self.digest}
        path.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")


def load(path: Path) -> Deferral:
    """Raises ValueError, naming the file, for what `save` did not write or somebody changed."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        gains = {str(name): GainModel.from_json(each) for name, each in data["gains"].items()}
        costs = {str(name): float(each) for name, each in data["cost_ms"].items()}
        found = Deferral(gains, costs, float(data["price"]), data["record"])
        if found.digest != data["digest"]:
            raise ValueError("its digest does not fit its content")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a deferral: {error!r}") from error
    return found

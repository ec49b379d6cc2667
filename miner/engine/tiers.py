"""Which tiers there are: a spec (plain JSON, it crosses a process border) names one and says how to load
it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from models.core import Evidence, Tier

Spec = Mapping[str, Any]
"""{"kind": a key of FACTORIES, ...its own options}."""


class Trivial:
    """Says the same about every image, at no cost: what is left is what the way to a model costs."""

    name = "trivial"
    version = "1"

    def __init__(self, log_odds: float) -> None:
        self._log_odds = log_odds

    def prepare(self, image: Any) -> Any:
        return None

    def evidence(self, batch: Sequence[Any]) -> list[Evidence]:
        return [Evidence(self.name, self.version, self._log_odds)] * len(batch)


def _trivial(spec: Spec, device: str) -> Tier:
    return Trivial(spec.get("log_odds", 1.0))


def _classifier(spec: Spec, device: str) -> Tier:
    from models.classifier import load_classifier
    from models.weights import DEFAULT

    options = {key: value for key, value in spec.items() if key not in ("kind", "path") and value is not None}
    return load_classifier(spec.get("path") or DEFAULT, device=device, **options)


FACTORIES: dict[str, Callable[[Spec, str], Tier]] = {
    "classifier": _classifier,
    "trivial": _trivial,
}


def build(spec: Spec, device: str) -> Tier:
    """Load a tier, which may take seconds and import torch. Raises ValueError with a sentence when it
    cannot."""
    try:
        factory = FACTORIES[spec["kind"]]
    except KeyError:
        raise ValueError(
            f"no tier is called {spec.get('kind')!r}; there are: {', '.join(FACTORIES)}"
        ) from None
    return factory(spec, device)

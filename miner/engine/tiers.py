"""Which tiers there are: a spec (plain JSON, it crosses a process border) names one and says how to load
it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from loguru import logger

from miner.engine.remote import Remote
from models import members
from models.core import Evidence, Tier

Spec = Mapping[str, Any]
"""{"kind": a key of FACTORIES, ...its own options}."""


class Trivial:
    """Says the same about every image, at no cost: what is left is what the way to a model costs."""

    name = "trivial"
    version = "1"
    side = 1

    def __init__(self, log_odds: float) -> None:
        self._log_odds = log_odds

    def prepare(self, image: Any) -> Any:
        return None

    def evidence(self, batch: Sequence[Any]) -> list[Evidence]:
        return [Evidence(self.name, self.version, self._log_odds)] * len(batch)


def _trivial(spec: Spec, device: str) -> Tier:
    return Trivial(spec.get("log_odds", 1.0))


FACTORIES: dict[str, Callable[[Spec, str], Tier]] = {
    **dict.fromkeys(members.LOADERS, members.load),
    "trivial": _trivial,
}
REMOTE = {"vlm": "create_member", "arbiter": "create_arbiter"}
"""Kinds of members that are asked elsewhere, and what of `models.vlm` makes them: see there for options."""


def build(spec: Spec, device: str) -> Tier:
    """Load a tier, which may take seconds and import torch. Raises ValueError with a sentence when it
    cannot."""
    try:
        factory = FACTORIES[spec["kind"]]
    except KeyError:
        raise ValueError(
            f"no tier is called {spec.get('kind')!r}; there are: {', '.join([*FACTORIES, *REMOTE])}"
        ) from None
    return factory(spec, device)


def _ignore(kind: str, why: str) -> None:
    """Nobody wants to know."""


def build_all(
    specs: Sequence[Spec],
    device: str,
    build: Callable[[Spec, str], Tier] = build,
    absent: Callable[[str, str], None] = _ignore,
) -> list[Tier | Remote]:
    """Every member of a cascade, in order; those elsewhere are made later, by whoever asks them.

    The first one of our own must load. A later one that does not is left out, loudly: better one member less
    than no answer. `absent` is told its kind and why."""
    servers: dict[str, Any] = {}
    members: list[Tier | Remote] = []
    for spec in specs:
        if spec["kind"] in REMOTE:
            members.append(_remote(spec, servers))
        elif all(isinstance(member, Remote) for member in members):
            members.append(build(spec, device))
        elif (tier := _later(spec, device, build, absent)) is not None:
            members.append(tier)
    return members


def _later(
    spec: Spec, device: str, build: Callable[[Spec, str], Tier], absent: Callable[[str, str], None]
) -> Tier | None:
    try:
        return build(spec, device)
    except Exception as error:  # noqa: BLE001 - whatever a checkpoint or a driver raises costs this member only
        logger.exception("the member {!r} cannot be loaded: the cascade goes on without it", spec["kind"])
        absent(spec["kind"], f"{type(error).__name__}: {error}")
        return None


def _remote(spec: Spec, servers: dict[str, Any]) -> Remote:
    options = {key: value for key, value in spec.items() if key != "kind"}

    def make() -> Any:
        return getattr(import_module("models.vlm"), REMOTE[spec["kind"]])(servers=servers, **options)

    return Remote(spec.get("name", spec["kind"]), make)

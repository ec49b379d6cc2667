"""Which cascade serves, given the settings' own and the registry's versions in the place of its members."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from loguru import logger

from miner.engine.tiers import REMOTE
from miner.registry import NoSuchVersion, Refused, Registry
from models.description import Description

SERVED = "vlm"
"""Kind of the members that ask a server, which may be one of this host."""
OF_THE_OLD_MODEL = ("path", "revision", "temperature", "threshold")
"""What the settings say of their own model and not of the member: a version brings its own."""


class Holder(Protocol):
    """A server's weights: `miner.servers.holder.Holder`, see there."""

    def begin(self, folder: Path) -> None: ...
    def beside(self, folder: Path | None) -> bool: ...
    def name(self, folder: Path | None) -> str: ...
    async def hold(self, folder: Path | None) -> None: ...
    async def let_go(self, folder: Path | None) -> None: ...
    def keep(self, folder: Path | None) -> None: ...


def kinds(described: Description) -> tuple[str, ...]:
    """Of the members that run here: those that the registry can hold versions of."""
    return tuple(dict.fromkeys(tier["kind"] for tier in described.tiers if tier["kind"] not in REMOTE))


def served(described: Description, names: Iterable[str]) -> tuple[str, ...]:
    """Of the members that ask a server: those named like one of `names`, whose weights can be swapped."""
    known = set(names) - set(kinds(described))
    asked = (str(tier.get("name", "")) for tier in described.tiers if tier["kind"] == SERVED)
    return tuple(dict.fromkeys(name for name in asked if name in known))


def with_version(described: Description, tier: str, spec: Mapping[str, Any]) -> Description:
    """`described` with `spec` in the place of its first member of the kind, or in that of the member of that
    name which asks a server: then `spec` says as "model" what to ask for. Raises ValueError without one."""
    place = _place(described, tier)
    about = {key: value for key, value in described.tiers[place].items() if key not in OF_THE_OLD_MODEL}
    if about["kind"] != SERVED:
        return _replaced(described, place, {**about, **spec})
    new = {key: value for key, value in spec.items() if key not in ("kind", "path")}
    about.pop("calibration", None)
    return _replaced(described, place, {**about, **new})


def asking_for(described: Description, tier: str, model: str) -> Description:
    """`described`, its member that asks a server asking for `model`. Raises ValueError."""
    place = _place(described, tier)
    return _replaced(described, place, {**described.tiers[place], "model": model})


def as_settings(described: Description, tier: str, base: Description) -> Description:
    """`described` with what the settings' cascade, `base`, has for that member. Raises ValueError."""
    return _replaced(described, _place(described, tier), base.tiers[_place(base, tier)])


def without(described: Description, tier: str) -> Description | None:
    """The other members; None when nobody of them runs here."""
    place = _place(described, tier)
    rest = replace(described, tiers=(*described.tiers[:place], *described.tiers[place + 1 :]))
    return rest if kinds(rest) else None


def in_service(
    base: Description, registry: Registry, holders: Mapping[str, Holder] = MappingProxyType({})
) -> Description:
    """The settings' cascade with every champion in its place. A champion whose files are damaged is
    quarantined: the previous one serves, or what the settings name. `holders` of servers are told to begin
    with their champions."""
    found = base
    for tier in (*kinds(base), *served(base, holders)):
        spec = _champion(registry, tier)
        if spec and tier in holders:
            holders[tier].begin(Path(spec["path"]))
            spec = {**spec, "model": holders[tier].name(Path(spec["path"]))}
        found = with_version(found, tier, spec) if spec else found
    return found


def _champion(registry: Registry, tier: str) -> dict[str, Any] | None:
    while (name := registry.pointers(tier).champion) is not None:
        try:
            registry.verify(tier, name)
            return registry.spec(tier, name)
        except (Refused, NoSuchVersion) as error:
            logger.critical("{} {} cannot serve: {}", tier, name, error)
            if not _gave_way(registry, tier, str(error)):
                return None
    return None


def _gave_way(registry: Registry, tier: str, why: str) -> bool:
    """Whether another one is champion now. On a full disk it is not, and the settings' model serves."""
    try:
        registry.give_way(tier, why)
        return True
    except (OSError, NoSuchVersion) as error:
        logger.error("the registry cannot be changed: {}", error)
        return False


def _place(described: Description, tier: str) -> int:
    for place, spec in enumerate(described.tiers):
        if spec["kind"] == tier and tier not in REMOTE:
            return place
        if spec["kind"] == SERVED and spec.get("name") == tier:
            return place
    there = ", ".join(kinds(described)) or "none"
    raise ValueError(f"the cascade has no member {tier!r} that runs here; it has {there}")


def _replaced(described: Description, place: int, spec: Mapping[str, Any]) -> Description:
    tiers = (*described.tiers[:place], dict(spec), *described.tiers[place + 1 :])
    return replace(described, tiers=tiers)

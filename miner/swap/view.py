"""The registry as plain JSON, and as a table for a terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from miner.registry import Registry
from miner.registry.state import Pointers

STYLES = {"champion": "bold green", "challenger": "yellow", "previous": "cyan", "quarantined": "red"}


def overview(registry: Registry, tiers: Sequence[str]) -> dict[str, Any]:
    """{"tiers": [{"tier", "champion", "challenger", "previous", "versions"}], "refused": {place: why}}.

    A version: {"version", "role", "created", "source", "revision", "licence", "metrics", "parent",
    "quarantined"}; a quarantined one that is no longer on disk has no more than version, role and reason."""
    known = dict.fromkeys((*tiers, *registry.tiers()))
    refused = {place: seen.why for place, seen in registry.seen().items() if seen.why}
    return {"tiers": [_tier(registry, tier) for tier in known], "refused": refused}


def _tier(registry: Registry, tier: str) -> dict[str, Any]:
    pointers = registry.pointers(tier)
    rows = []
    for one in registry.versions(tier):
        facts = asdict(one.manifest.facts)
        shown = {name: facts[name] for name in ("source", "revision", "licence", "metrics", "parent")}
        rows.append(
            {
                "version": one.name,
                "role": _role(pointers, one.name, one.quarantined),
                "created": one.manifest.created,
                **shown,
                "quarantined": one.quarantined,
            }
        )
    on_disk = {row["version"] for row in rows}
    gone = [
        {"version": name, "role": "quarantined", "quarantined": found.why}
        for name, found in registry.quarantine_of(tier).items()
        if name not in on_disk
    ]
    return {"tier": tier, **asdict(pointers), "versions": [*rows, *gone]}


def _role(pointers: Pointers, name: str, quarantined: str | None) -> str:
    for role in ("champion", "challenger", "previous"):
        if getattr(pointers, role) == name:
            return role
    return "quarantined" if quarantined else ""


def models_view(found: Mapping[str, Any]) -> RenderableType:
    """A table for each tier; what was refused; the swap of now."""
    parts: list[RenderableType] = []
    for tier in found["tiers"]:
        parts += [Text(_head(tier), style="bold"), *([_table(tier["versions"])] if tier["versions"] else [])]
    parts += [Text(f"refused: {place}: {why}", style="red") for place, why in found["refused"].items()]
    if (now := found.get("under_way")) is not None:
        parts.append(Text(f"now: {progress(now)}", style="yellow"))
    if (last := found.get("last")) is not None:
        parts.append(Text(f"last: {last['sentence']}"))
    return Group(*parts)


def progress(now: Mapping[str, Any]) -> str:
    """One line about a swap under way."""
    to = now["version"] or "the settings' own"
    return f"{now['tier']} to {to}: {now['step']}, {now['seconds']:.0f} s"


def _head(tier: Mapping[str, Any]) -> str:
    champion = tier["champion"] or "what the settings name"
    return f"{tier['tier']}: {champion} serves"


def _table(versions: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("version", "role", "since", "source", "metrics", "why not"):
        table.add_column(name, overflow="fold")
    for row in versions:
        created = row.get("created")
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(created / 1e9)) if created else ""
        metrics = ", ".join(f"{name} {value:.3g}" for name, value in row.get("metrics", {}).items())
        cells = (row["version"], row["role"], since, row.get("source", ""), metrics, row["quarantined"] or "")
        table.add_row(*(Text(str(cell), style=STYLES.get(row["role"], "")) for cell in cells))
    return table

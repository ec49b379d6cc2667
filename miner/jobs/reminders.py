"""The job that reminds of papers: licences of the models that serve, and their cards' age."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from miner.alarms import Alarms
from miner.jobs.blocking import in_thread
from miner.jobs.job import Context, Run
from miner.publish.history import uploaded
from miner.registry import Registry
from miner.registry.manifest import Manifest

KIND = "papers"
DAY_S = 86_400.0
OLD_DAYS = 45
"""The subnet's own plan is to let a model's reward decay from its 45th day on, to nothing at its 90th."""
RESTRICTED = re.compile(r"non.?commercial|\bnc\b|research.only|proprietary", re.IGNORECASE)


def reminders(registry: Registry, alarms: Alarms, data: Path) -> Run:
    """Rings, softly, for every champion of the registry whose papers want a look; what was published is noted
    in the folder `data`."""

    def look(context: Context) -> str:
        found = wanting(_champions(registry), context.at_s, uploaded(data))
        return "\n".join(f"{tier}: {text}" for tier, text in found.items())

    in_background = in_thread(look)

    async def run(context: Context) -> str:
        said = await in_background(context)
        found = dict(line.split(": ", 1) for line in said.splitlines())
        alarms.hold(KIND, {tier: ("info", text) for tier, text in found.items()})
        return said or "nothing to be reminded of"

    return run


def wanting(
    champions: Mapping[str, Manifest], now_s: float, published: Mapping[str, float]
) -> dict[str, str]:
    """Tier -> what to look at, of the tiers with anything. `published` SHA-256 of weights -> when, in seconds
    since 1970; the card of a model that never was is as old as its version here."""
    said = {tier: "; ".join(_of(manifest, now_s, published)) for tier, manifest in champions.items()}
    return {tier: f"model {champions[tier].version}: {text}" for tier, text in said.items() if text}


def _of(manifest: Manifest, now_s: float, published: Mapping[str, float]) -> list[str]:
    found = []
    uploads = [published[digest] for digest in manifest.files.values() if digest in published]
    days = (now_s - max(uploads, default=manifest.created / 1e9)) / DAY_S
    licence = manifest.facts.licence.strip()
    if not licence:
        found.append("no licence is stated")
    elif RESTRICTED.search(licence):
        found.append(f"its licence ({licence}) may not allow paid work")
    if days >= OLD_DAYS:
        found.append(f"its card is {days:.0f} days old: publish a newer one, or the same again")
    return found


def _champions(registry: Registry) -> dict[str, Manifest]:
    serving = {tier: registry.pointers(tier).champion for tier in registry.tiers()}
    return {tier: registry.version(tier, name).manifest for tier, name in serving.items() if name}

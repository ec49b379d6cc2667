"""At the start: champions that cannot be loaded any more (a library changed, a file system lies) give way."""

from __future__ import annotations

import asyncio

from loguru import logger

from miner.engine.interface import EngineHealth
from miner.registry import Registry
from miner.swap import room
from miner.swap.cascades import in_service, kinds
from miner.swap.engine import SwappingEngine
from miner.swap.report import Note
from models.description import Description

POLL_S = 0.2


async def rescue(engine: SwappingEngine, registry: Registry, base: Description, note: Note) -> None:
    """Wait until the engine has started. Each champion that it cannot load is quarantined with the reason and
    the one before it serves, or at last what the settings name. Want of memory is nobody's fault."""
    while blamed := _blamed(await _started(engine), engine.described, registry):
        tier, why = blamed
        name = registry.pointers(tier).champion
        assert name is not None
        logger.critical("{} {} cannot be loaded, the one before it serves: {}", tier, name, why)
        await asyncio.to_thread(registry.give_way, tier, f"it cannot be loaded any more: {why}")
        note("swap", {"tier": tier, "version": name, "outcome": "quarantined", "step": "start", "why": why})
        described = await asyncio.to_thread(in_service, base, registry)
        fresh = engine.beside(described, gentle=False)
        await fresh.start()
        engine.leave(engine.exchange(fresh, described))


async def _started(engine: SwappingEngine) -> EngineHealth:
    while True:
        health = engine.health()
        if health.ready or health.state in ("down", "stopped"):
            return health
        await asyncio.sleep(POLL_S)


def _blamed(health: EngineHealth, described: Description, registry: Registry) -> tuple[str, str] | None:
    """(tier, why) of a champion of the registry that could not be loaded. Without the first member nothing
    serves; a later one is left out."""
    first = kinds(described)[0]
    failed = {first: health.detail} if health.state == "down" else dict(health.absent)
    for tier, why in failed.items():
        if registry.pointers(tier).champion is not None and not room.is_lack(why):
            return tier, why
    return None

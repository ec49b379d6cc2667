"""Hot swap as a part of the miner: sources watched, candidates tried, commands answered."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from loguru import logger

from miner.capture import Labelled as Picture
from miner.control import Command
from miner.registry import Refused, Registry
from miner.settings import RegistrySection
from miner.swap.cascades import Holder, kinds, served
from miner.swap.engine import SwappingEngine
from miner.swap.gate import gate
from miner.swap.hub import HuggingFaceHub
from miner.swap.labelled import compared_on
from miner.swap.report import STEPS, Note, Report
from miner.swap.rescue import rescue
from miner.swap.sources import SETTLE_S, Arrival, FolderSource, HubSource, Source, changes
from miner.swap.swapper import Rules, Swapper
from miner.swap.view import overview, progress
from models.description import Description

AGAIN_S = 3600.0
"""Before a postponed challenger is tried again; twice as long each time."""


async def _nothing() -> None:
    """Nobody needs help."""


class SwapService:
    """`run` until cancelled, `stop` at the end. `offer` and `poll` may be called by jobs; `rescue` is done
    before anything is tried."""

    def __init__(
        self,
        swapper: Swapper,
        registry: Registry,
        tiers: Sequence[str],
        sources: Sequence[Source],
        section: RegistrySection,
        rescue: Callable[[], Awaitable[None]] = _nothing,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = registry
        self._swapper = swapper
        self._tiers = tuple(tiers)
        self._sources = tuple(sources)
        self._section = section
        self._rescue = rescue
        self._clock = clock
        self._due: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None
        self._begun: dict[str, Any] | None = None
        self._last: Report | None = None
        self._looking = asyncio.Lock()

    @property
    def commands(self) -> dict[str, Command]:
        """For the control socket."""
        return {
            "models": self.models,
            "swap": self.swap,
            "rollback": self.rollback,
            "swap_status": self.swap_status,
        }

    async def models(self) -> dict[str, Any]:
        """See `view.overview`; with the swap of now."""
        found = await asyncio.to_thread(overview, self.registry, self._tiers)
        return {**found, **await self.swap_status()}

    async def swap_status(self) -> dict[str, Any]:
        """{"under_way": see `Swapper.under_way`, "last": the last report, None while one is made}."""
        last = self._last.to_json() | {"sentence": self._last.sentence} if self._last else None
        return {"under_way": self._now(), "last": last}

    async def swap(self, tier: str, version: str, force: bool = False) -> dict[str, Any]:
        """Begin to; `swap_status` tells how it goes. `version` may be cut short. ValueError: it cannot be."""
        self._check_free()
        name = self.named(tier, version)
        self._swapper.check(tier, name, force=force)
        self._begin(tier, name, self._swapper.swap(tier, name, force=force))
        return {"tier": tier, "version": name}

    async def rollback(self, tier: str) -> dict[str, Any]:
        """Begin to, as `swap` does."""
        self._check_free()
        version = self.registry.before(tier)
        self._begin(tier, version, self._swapper.rollback(tier))
        return {"tier": tier, "version": version}

    def named(self, tier: str, version: str) -> str:
        """The one version that begins so. Raises ValueError."""
        found = [one.name for one in self.registry.versions(tier) if one.name.startswith(version)]
        return found[0] if len(found) == 1 else self.registry.version(tier, version).name

    async def offer(self, tier: str, folder: Path, facts: Mapping[str, Any] | None = None) -> str:
        """Let a model in and have it tried at the next poll; its version. Raises Refused."""
        version = await asyncio.to_thread(self.registry.add, tier, folder, facts)
        await self._announce(Arrival(tier, version))
        return version

    async def adopt(self, certificate: Path) -> str:
        """See `Swapper.adopt`."""
        self._check_free()
        return await self._swapper.adopt(certificate)

    async def poll(self) -> str:
        """Look at the sources, then begin to try whoever waits; what came of it, in a sentence."""
        async with self._looking:
            arrivals = [one for source in self._sources for one in await asyncio.to_thread(source.look)]
            for arrival in arrivals:
                await self._announce(arrival)
            tried = [said for tier in self._tiers if (said := self._try(tier))]
        news = [f"{one.tier} {one.version} came in" for one in arrivals] + tried
        return "; ".join(news) or "nothing new"

    async def run(self) -> None:
        """Poll at once, then whenever the watched folder changes; a job does so by the clock. For ever."""
        await asyncio.to_thread(self.registry.sweep)
        await self._rescue()
        await self._polled()
        if self._section.watch_folder is not None:
            async for _ in changes(self._section.watch_folder):
                await self._polled()
        await asyncio.Event().wait()

    async def _polled(self) -> None:
        try:
            logger.debug("models: {}", await self.poll())
        except (OSError, Refused) as error:
            logger.error("models cannot be looked for: {}", error)

    async def stop(self) -> None:
        """A swap under way is given up: its candidate ends, the champion stays."""
        task = self._task
        if task is not None and not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self._swapper.close()

    # Inside

    def _check_free(self) -> None:
        if (now := self._now()) is not None:
            raise ValueError(f"a swap is under way ({progress(now)}): wait for its end")

    def _now(self) -> dict[str, Any] | None:
        """The swap of now, from its beginning until its report is there."""
        if self._task is None or self._task.done():
            return self._swapper.under_way
        return self._swapper.under_way or self._begun

    def _begin(self, tier: str, version: str | None, work: Coroutine[Any, Any, Report]) -> None:
        self._begun = {"tier": tier, "version": version, "forced": False, "step": STEPS[0], "seconds": 0.0}
        self._last = None
        self._task = asyncio.create_task(self._ride(work), name="swap")

    async def _ride(self, work: Coroutine[Any, Any, Report]) -> None:
        self._last = report = await work
        tries = self.registry.pointers(report.tier).tries
        self._due[report.tier] = self._clock() + AGAIN_S * 2 ** min(6, max(0, tries - 1))
        await asyncio.to_thread(self._prune, report.tier)

    def _prune(self, tier: str) -> None:
        for name in self.registry.prune(tier, self._section.keep):
            logger.info("{} {} is deleted: {} older versions are kept", tier, name, self._section.keep)

    async def _announce(self, arrival: Arrival) -> None:
        if self._section.auto:
            await asyncio.to_thread(self.registry.challenge, arrival.tier, arrival.version)
            self._due.pop(arrival.tier, None)

    def _try(self, tier: str) -> str:
        """Try the tier's challenger if one waits and its time has come; a sentence if so."""
        name = self.registry.pointers(tier).challenger
        if name is None or not self._section.auto or self._now() or self._clock() < self._due.get(tier, 0.0):
            return ""
        try:
            self._swapper.check(tier, name)
        except ValueError as error:
            self.registry.challenge(tier, None)
            return f"{tier} {name} is not tried: {error}"
        self._begin(tier, name, self._swapper.swap(tier, name, by="miner"))
        return f"{tier} {name} is being tried"


def create_service(
    engine: SwappingEngine,
    registry: Registry,
    base: Description,
    section: RegistrySection,
    *,
    within_s: float,
    pictures: Callable[[], Sequence[Picture]],
    note: Note,
    holders: Mapping[str, Holder] = MappingProxyType({}),
) -> SwapService:
    """Of the settings' section. `within_s` seconds there are for an answer; `pictures` the labelled ones;
    `note` the ledger's events; `holders` of servers whose weights can be swapped."""
    rules = Rules(
        shadow=section.shadow,
        shadow_s=section.shadow_s,
        load_s=section.load_s,
        within_s=within_s,
        warm_s=section.warm_s,
        no_room=section.no_room,
        tries=section.tries,
    )
    labelled = compared_on(pictures, registry, section.items)
    swapper = Swapper(
        engine,
        registry,
        base=base,
        rules=rules,
        gate=gate,
        labelled=labelled,
        note=note,
        holders=holders,
    )
    tiers = (*kinds(base), *served(base, holders))
    saved = partial(rescue, engine, registry, base, note)
    return SwapService(swapper, registry, tiers, _sources(section, registry, tiers), section, saved)


def _sources(section: RegistrySection, registry: Registry, tiers: Sequence[str]) -> list[Source]:
    found: list[Source] = []
    if section.watch_folder is not None:
        section.watch_folder.mkdir(parents=True, exist_ok=True)
        found.append(FolderSource(section.watch_folder, registry, tiers, settle=lambda: time.sleep(SETTLE_S)))
    if section.hub_repo is not None:
        hub = HuggingFaceHub(section.hub_repo, section.hub_branch)
        scratch = _scratch(registry.folder)
        found.append(HubSource(section.hub_repo, section.hub_tier, hub, registry, scratch))
    return found


def _scratch(folder: Path) -> Callable[[], Any]:
    """Makes folders on the disk that the registry is on."""

    @contextmanager
    def made() -> Iterator[Path]:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = Path(tempfile.mkdtemp(prefix=".incoming-", dir=folder))
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)

    return made

"""One swap from the first look at the files to the freed memory; and the way back.

Whatever goes wrong before `exchange`, the champion never stopped serving; afterwards the new one has proven
itself. A process that dies at any step starts with a champion that was proven."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from loguru import logger

from miner.engine.golden import Item, golden
from miner.engine.interface import Engine
from miner.registry import NoSuchVersion, Refused, Registry
from miner.servers.holder import Unheld
from miner.swap import asking, cascades, room
from miner.swap.asking import Said
from miner.swap.cascades import Holder
from miner.swap.engine import SwappingEngine
from miner.swap.report import STEPS, Note, Outcome, Report, Unfit
from miner.swap.shadow import Pair, Shadow
from miner.swap.trial import Gate, Labelled, Trial
from models.description import Description

POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Rules:
    """`shadow` live challenges a candidate is shown, within `shadow_s` seconds; `load_s` seconds it may take
    to be ready, `within_s` to answer; `warm_s` seconds the old engine stays loaded, for an instant way back;
    `no_room` what to do when two engines do not fit; `tries` of one that is postponed each time."""

    shadow: int = 50
    shadow_s: float = 900.0
    load_s: float = 300.0
    within_s: float = 7.5
    warm_s: float = 0.0
    no_room: Literal["refuse", "unload"] = "refuse"
    tries: int = 8


@dataclass(slots=True)
class _Ride:
    """One swap under way."""

    tier: str
    version: str | None
    forced: bool
    by: str
    started: float
    step: str = STEPS[0]
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Baseline:
    """What the champion says to the golden set, and to the labelled `items` if it cannot be asked later."""

    known: list[Said]
    items: Sequence[Item]
    said: list[Said] | None


@dataclass(frozen=True, slots=True)
class _Warm:
    """An engine that served before and is still loaded."""

    tier: str
    described: Description
    engine: Engine
    until: asyncio.TimerHandle


class Swapper:
    """`base` the settings' cascade; `gate` rules on promotions and `labelled` brings its evidence; `note`
    gets each report; `on_step` is told of each step; `holders` of the servers whose weights can be swapped,
    by the name of their member. One swap at a time: ValueError for a second."""

    def __init__(
        self,
        engine: SwappingEngine,
        registry: Registry,
        *,
        base: Description,
        rules: Rules,
        gate: Gate,
        labelled: Labelled,
        known: Sequence[Item] | None = None,
        note: Note = lambda kind, data: None,
        on_step: Callable[[str], None] = lambda step: None,
        free: Callable[[], int | None] = room.free_bytes,
        holders: Mapping[str, Holder] = MappingProxyType({}),
    ) -> None:
        self.registry = registry
        self._engine = engine
        self._base = base
        self._rules = rules
        self._gate = gate
        self._labelled = labelled
        self._known = tuple(golden() if known is None else known)
        self._note = note
        self._on_step = on_step
        self._free = free
        self._holders = holders
        self._ride: _Ride | None = None
        self._warm: _Warm | None = None

    @property
    def under_way(self) -> dict[str, Any] | None:
        """The swap of now: {"tier", "version", "step", "seconds", "forced"}."""
        ride = self._ride
        if ride is None:
            return None
        seconds = time.monotonic() - ride.started
        about = {"tier": ride.tier, "version": ride.version, "forced": ride.forced}
        return {**about, "step": ride.step, "seconds": seconds}

    def check(self, tier: str, version: str, *, force: bool = False) -> None:
        """Raises ValueError with a sentence when this swap makes no sense now."""
        self._check_free()
        cascades.with_version(self._base, tier, {})
        bad = self.registry.version(tier, version).quarantined
        if bad and not force:
            raise ValueError(f"{tier} {version} is quarantined: {bad} (--force tries it all the same)")
        if self.registry.pointers(tier).champion == version:
            raise ValueError(f"{tier} {version} serves already")

    async def swap(self, tier: str, version: str, *, force: bool = False, by: str = "operator") -> Report:
        """Try it, and promote it if it holds. `force`: without the gate. Never raises for what the candidate
        does; ValueError see `check`."""
        self.check(tier, version, force=force)
        ride = self._ride = _Ride(tier, version, force, by, time.monotonic())
        return await self._ridden(ride, self._swapped(ride, version))

    async def rollback(self, tier: str, *, by: str = "operator") -> Report:
        """The previous one serves again, at once if it is still loaded. The one that served is quarantined,
        so that it does not come back by itself. Raises ValueError when there is nothing to go back to."""
        self._check_free()
        cascades.with_version(self._base, tier, {})
        version = self.registry.before(tier)
        ride = self._ride = _Ride(tier, version, True, by, time.monotonic())
        return await self._ridden(ride, self._rolled_back(ride, version))

    async def adopt(self, certificate: Path) -> str:
        """Serve by another certificate, with the same members: a second engine that was told of it takes the
        first one's place. A sentence. Raises ValueError while a swap is under way, when two engines do not
        fit, or when it is void."""
        self._check_free()
        if why := room.lack(self._engine.health().pid, self._free()):
            raise ValueError(why)
        described = replace(self._engine.described, recertified=str(certificate))
        self._ride = _Ride(cascades.kinds(described)[0], None, True, "miner", time.monotonic(), step="load")
        try:
            async with AsyncExitStack() as stack:
                candidate = await self._loaded(self._ride, described, stack)
                if never := candidate.health().never:
                    raise ValueError(f"the certificate is of no use: {never}")
                stack.pop_all()
                old = self._engine.exchange(candidate, described)
        except Unfit as unfit:
            raise ValueError(unfit.why) from unfit
        finally:
            self._ride = None
        await self._let_go()
        await self._engine.leave(old)
        return f"{certificate.name} is served by"

    async def close(self) -> None:
        """End what is still loaded for the way back."""
        await self._let_go()

    # One ride

    def _check_free(self) -> None:
        if (now := self.under_way) is not None:
            raise ValueError(f"a swap of {now['tier']} is under way ({now['step']}): wait for its end")

    async def _ridden(self, ride: _Ride, work: Awaitable[Outcome]) -> Report:
        try:
            outcome, why = await work, ""
        except Unfit as unfit:
            outcome, why = ("quarantined" if unfit.blame else "postponed"), unfit.why
            await self._give_up(ride, unfit)
        except Exception as error:  # noqa: BLE001 - the edge of a swap: whatever failed, the champion serves
            logger.exception("a swap failed")
            outcome, why = "postponed", f"{type(error).__name__}: {error}"
            await self._give_up(ride, Unfit(why, blame=False, counts=True))
        finally:
            self._ride = None
            self._engine.watch(None)
        report = Report(
            *(ride.tier, ride.version, outcome, ride.step, why, ride.forced, ride.by),
            *(round(time.monotonic() - ride.started, 3), ride.figures),
        )
        logger.log("INFO" if report.fine else "ERROR", "swap: {}", report.sentence)
        self._note("swap", report.to_json())
        return report

    async def _give_up(self, ride: _Ride, unfit: Unfit) -> None:
        """Put down why. A disk that refuses even that costs the record only: the champion serves."""
        if ride.version is None:
            return
        try:
            if unfit.blame:
                await asyncio.to_thread(self.registry.quarantine, ride.tier, ride.version, unfit.why)
            else:
                await asyncio.to_thread(self._postpone, ride.tier, ride.version, unfit)
        except OSError as error:
            logger.error("the registry cannot be written: {}", error)

    def _postpone(self, tier: str, version: str, unfit: Unfit) -> None:
        """It waits for better times; once it had its chances, no longer."""
        self.registry.challenge(tier, version)
        if unfit.counts and (tries := self.registry.postpone(tier)) >= self._rules.tries:
            self.registry.quarantine(tier, version, f"tried {tries} times, at last: {unfit.why}")

    async def _swapped(self, ride: _Ride, version: str) -> Outcome:
        await self._let_go()
        described = await self._verified(ride, version)
        async with AsyncExitStack() as stack:
            rest = self._room(ride)
            baseline = await self._baseline(ride, alone=rest is not None)
            await self._unload(ride, rest, stack)
            await self._hold(ride, stack)
            candidate = await self._loaded(ride, described, stack)
            await self._prove(ride, candidate, baseline)
            await self._exchange(ride, candidate, described, stack, version)
        return "promoted"

    async def _rolled_back(self, ride: _Ride, version: str | None) -> Outcome:
        described = await self._verified(ride, version)
        wrong = self.registry.pointers(ride.tier).champion
        async with AsyncExitStack() as stack:
            if (candidate := self._kept(ride.tier, described)) is None:
                await self._let_go()
                if ride.tier not in self._holders:
                    await self._unload(ride, self._room(ride), stack)
                await self._hold(ride, stack)
                candidate = await self._loaded(ride, described, stack)
            await self._exchange(ride, candidate, described, stack, version)
        if wrong is not None:
            why = f"rolled back by the {ride.by}"
            await self._give_up(_Ride(ride.tier, wrong, True, ride.by, 0.0), Unfit(why))
        return "rolled_back"

    # Its steps

    def _step(self, ride: _Ride, step: str) -> None:
        ride.step = step
        logger.info("swap of {} to {}: {}", ride.tier, ride.version or "the settings' own", step)
        self._on_step(step)

    async def _verified(self, ride: _Ride, version: str | None) -> Description:
        """The cascade with it in its place, its files being those that came in."""
        self._step(ride, "verify")
        if version is None:
            return self._as_settings(ride.tier)
        try:
            await asyncio.to_thread(self.registry.verify, ride.tier, version)
            await asyncio.to_thread(self.registry.challenge, ride.tier, version)
            spec = self.registry.spec(ride.tier, version)
        except (Refused, NoSuchVersion) as error:
            raise Unfit(str(error)) from error
        except OSError as error:
            raise Unfit(f"the registry cannot be written: {error}", blame=False) from error
        if ride.tier in self._holders:
            spec["model"] = self._holders[ride.tier].name(self._folder(ride.tier, version))
        return cascades.with_version(self._engine.described, ride.tier, spec)

    def _as_settings(self, tier: str) -> Description:
        found = cascades.as_settings(self._engine.described, tier, self._base)
        return self._renamed(found, tier, None)

    def _renamed(self, described: Description, tier: str, version: str | None) -> Description:
        """With the name by which a server answers for that version now."""
        if tier not in self._holders:
            return described
        return cascades.asking_for(described, tier, self._holders[tier].name(self._folder(tier, version)))

    def _folder(self, tier: str, version: str | None) -> Path | None:
        return None if version is None else self.registry.path(tier, version).absolute()

    def _room(self, ride: _Ride) -> Description | None:
        """Who serves meanwhile, if champion and candidate do not fit together; None when they do."""
        self._step(ride, "room")
        if ride.tier in self._holders:
            return self._cover(ride)
        lack = room.lack(self._engine.health().pid, self._free())
        if lack is None:
            return None
        rest = cascades.without(self._engine.described, ride.tier)
        if self._rules.no_room == "refuse" or rest is None:
            why = "registry.no_room is refuse" if rest else "no other member could serve meanwhile"
            raise Unfit(f"{lack}; {why}", blame=False)
        logger.warning("swap: {}: the other members serve meanwhile", lack)
        return rest

    def _cover(self, ride: _Ride) -> Description | None:
        """A server holds one checkpoint at a time: the other members serve meanwhile. Adapters lie side by
        side."""
        if self._holders[ride.tier].beside(self._folder(ride.tier, ride.version)):
            return None
        rest = cascades.without(self._engine.described, ride.tier)
        if rest is None:
            raise Unfit("no other member could serve meanwhile", blame=False)
        return rest

    async def _hold(self, ride: _Ride, stack: AsyncExitStack) -> None:
        """Have a server hold the version; `stack` has it hold the old one again."""
        holder = self._holders.get(ride.tier)
        if holder is None:
            return
        self._step(ride, "load")
        new, old = (
            self._folder(ride.tier, each)
            for each in (ride.version, self.registry.pointers(ride.tier).champion)
        )

        async def put_back() -> None:
            await holder.hold(old)
            await holder.let_go(new)

        try:
            stack.push_async_callback(put_back)
            await holder.hold(new)
        except Unheld as error:
            raise Unfit(error.why, blame=error.blame) from error

    async def _baseline(self, ride: _Ride, *, alone: bool) -> _Baseline:
        """`alone`: the champion will not be there when the candidate is."""
        self._step(ride, "baseline")
        champion, within_s = self._engine.serving, self._rules.within_s
        items: Sequence[Item] = ()
        if not ride.forced and ride.version is not None:
            items = await self._labelled(ride.tier, ride.version)
            if not items:
                raise Unfit("no labelled picture to compare on (--force promotes without)", blame=False)
        known = await asking.ask_all(champion, self._known, within_s)
        return _Baseline(known, items, await asking.ask_all(champion, items, within_s) if alone else None)

    async def _unload(self, ride: _Ride, rest: Description | None, stack: AsyncExitStack) -> None:
        """The other members serve until somebody else does; should that be nobody new, the champion comes
        back."""
        if rest is None:
            return
        full = self._engine.described
        cover = await self._loaded(ride, rest, stack)
        stack.pop_all()
        await self._engine.leave(self._engine.exchange(cover, rest))

        async def bring_back() -> None:
            if self._engine.serving is cover:
                back = self._renamed(full, ride.tier, self.registry.pointers(ride.tier).champion)
                again = await self._ready(back)
                await self._engine.leave(self._engine.exchange(again, back))

        stack.push_async_callback(bring_back)

    async def _loaded(self, ride: _Ride, described: Description, stack: AsyncExitStack) -> Engine:
        """An engine that is ready; `stack` ends it unless it is taken over."""
        self._step(ride, "load")
        started = time.monotonic()
        candidate = self._engine.beside(described)
        stack.push_async_callback(candidate.stop)
        await self._wait_ready(candidate)
        ride.figures["load_s"] = round(time.monotonic() - started, 3)
        return candidate

    async def _ready(self, described: Description) -> Engine:
        engine = self._engine.beside(described)
        await self._wait_ready(engine)
        return engine

    async def _wait_ready(self, candidate: Engine) -> None:
        await candidate.start()
        end = time.monotonic() + self._rules.load_s
        while not (health := candidate.health()).ready:
            if health.state == "down":
                raise Unfit(f"it cannot be loaded: {health.detail}", blame=not room.is_lack(health.detail))
            if time.monotonic() > end:
                raise Unfit(f"it is not ready after {self._rules.load_s:.0f} s")
            await asyncio.sleep(POLL_S)
        for kind, why in health.absent.items():
            raise Unfit(f"its member {kind} cannot be loaded: {why}", blame=not room.is_lack(why))

    async def _prove(self, ride: _Ride, candidate: Engine, baseline: _Baseline) -> None:
        known = await self._golden(ride, candidate, baseline)
        await self._shadowed(ride, candidate)
        if ride.forced:
            return
        self._step(ride, "gate")
        champion, challenger = await self._compared(candidate, baseline)
        ruling = await self._gate(
            Trial(
                *(baseline.items, champion, challenger),
                *(self._known, baseline.known, known),
                within_s=self._rules.within_s,
            )
        )
        ride.figures.update(ruling.figures)
        if not ruling.promote:
            raise Unfit("; ".join(ruling.why) or "the gate holds it back", blame=ruling.final, counts=True)

    async def _compared(self, candidate: Engine, baseline: _Baseline) -> tuple[list[Said], list[Said]]:
        items, within_s = baseline.items, self._rules.within_s
        if baseline.said is not None:
            return baseline.said, await asking.ask_all(candidate, items, within_s)
        return await asking.ask_both(self._engine.serving, candidate, items, within_s)

    async def _golden(self, ride: _Ride, candidate: Engine, baseline: _Baseline) -> list[Said]:
        self._step(ride, "golden")
        said = await asking.ask_surely(candidate, self._known, self._rules.within_s)
        if why := asking.complaint(self._known, baseline.known, said):
            raise Unfit(why)
        return said

    async def _shadowed(self, ride: _Ride, candidate: Engine) -> list[Pair]:
        """What it says to live challenges. A forced one makes do with those that came in the time."""
        self._step(ride, "shadow")
        shadow = Shadow(candidate, self._rules.shadow, self._rules.within_s)
        self._engine.watch(shadow)
        pairs = await shadow.wait(self._rules.shadow_s)
        self._engine.watch(None)
        ms = [pair.said.ms for pair in pairs]
        ride.figures.update(
            shadowed=len(pairs),
            differ=sum(pair.differ for pair in pairs),
            shadow_p95_ms=round(asking.percentile(ms, 0.95), 1),
        )
        for pair in pairs:
            if pair.said.fault:
                raise Unfit(f"{pair.said.fault} to a live challenge")
        slow = asking.percentile(ms, 0.95) / 1e3
        if slow > self._rules.within_s / 2:
            raise Unfit(
                f"too slow: 95 % of its answers took up to {slow:.2f} s of {self._rules.within_s:g} s"
            )
        if len(pairs) < self._rules.shadow and not ride.forced:
            few = f"only {len(pairs)} of {self._rules.shadow} live challenges came"
            raise Unfit(f"{few} in {self._rules.shadow_s:.0f} s: tried again later", blame=False)
        return pairs

    async def _exchange(
        self,
        ride: _Ride,
        candidate: Engine,
        described: Description,
        stack: AsyncExitStack,
        version: str | None,
    ) -> None:
        """The pointer first: should we die here, the next start has the new one, which is proven."""
        self._step(ride, "exchange")
        gone = self.registry.pointers(ride.tier).champion
        try:
            await asyncio.to_thread(self.registry.promote, ride.tier, version)
        except (OSError, NoSuchVersion) as error:
            raise Unfit(f"the registry cannot be written: {error}", blame=False) from error
        self._step(ride, "promoted")
        if never := candidate.health().never:
            ride.figures["nobody_early"] = never
        stack.pop_all()
        before = self._engine.described
        old = self._engine.exchange(candidate, described)
        self._step(ride, "drain")
        if ride.tier in self._holders:
            await self._engine.leave(old)
            await self._held(ride, gone)
        else:
            await self._retire(ride.tier, before, old)

    async def _held(self, ride: _Ride, gone: str | None) -> None:
        """The server starts with the new version from now on; the one that served makes room. That it does
        not is no reason to go back."""
        holder, old = self._holders[ride.tier], self._folder(ride.tier, gone)
        holder.keep(self._folder(ride.tier, ride.version))
        try:
            await holder.let_go(old)
        except Unheld as error:
            logger.warning("{} is still held: {}", gone, error.why)

    # The engine that served before

    async def _retire(self, tier: str, described: Description, engine: Engine) -> None:
        """Keep it loaded for a while, if so wished and there is room for it; else end it."""
        if not self._rules.warm_s or self._warm is not None:
            await self._engine.leave(engine)
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._rules.warm_s, self._cool)
        self._warm = _Warm(tier, described, engine, timer)

    def _kept(self, tier: str, described: Description) -> Engine | None:
        """The engine that is still loaded, if it is the one that is wanted and well."""
        warm = self._warm
        if warm is None or warm.described != described or not warm.engine.health().ready:
            return None
        warm.until.cancel()
        self._warm = None
        return warm.engine

    def _cool(self) -> None:
        warm, self._warm = self._warm, None
        if warm is not None:
            self._engine.leave(warm.engine)

    async def _let_go(self) -> None:
        warm, self._warm = self._warm, None
        if warm is not None:
            warm.until.cancel()
            await self._engine.leave(warm.engine)

"""One soak: load, faults by the schedule, and what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.attacks import Endings
from harness.soak import load
from harness.soak.books import compare, in_flight, tally
from harness.soak.faults import FAULTS, Fault, NotHere
from harness.soak.flat import Watch
from harness.soak.seen import Report, Seen
from harness.soak.table import line
from harness.soak.world import NETUID, World, until_well
from harness.stage import VALIDATOR, ss58

READY_S = 180.0
RECOVER_S = 120.0
"""Most that is waited for after a fault: a crash loop's pause is a minute."""
FRESH_S = 5.0
"""After a start, requests signed before it are refused for so long."""
PROBE_S = 0.5
LONG_S = 7200.0
"""A soak of this length need not hurry."""
BURST = 40
MOMENT_S = 0.1
"""Between a signal's being sent and its taking effect."""
QUICK = ("engine child killed", "disk full", "SIGSTOP of the front", "SIGKILL of the front", "chain down")
GOOD_ENDINGS = ("200", "500")
"""What no hostile client may get."""


@dataclass(frozen=True, slots=True)
class Form:
    """`seconds` of load; `rate` of the steady validator; `day_s` of the miner's jobs; `gap_s` of calm after
    each fault; `round_s` from one round of faults to the next (0: one round)."""

    seconds: float
    rate: float
    day_s: float
    gap_s: float
    round_s: float = 0.0
    quick: bool = False


class Soak:
    """Load and faults on one world."""

    def __init__(self, world: World, form: Form, faults: Sequence[Fault]) -> None:
        self._world, self._form, self._faults = world, form, faults
        self.record = load.Record()
        self.cuts: list[tuple[float, float]] = []
        self.kills: list[float] = []
        self.seen: list[Seen] = []
        self.endings: dict[str, Counter[str]] = {}
        self.watch = Watch(world.processes, every_s=1.0 if form.seconds < LONG_S else 10.0)

    async def run(self) -> None:
        await self._ready()
        validator = load.validator(
            self._world.chain.path, NETUID, self._form.rate, self.record, seed=time.time_ns()
        )
        work: list[Awaitable[None]] = [
            validator.run(),
            load.bursts(self._world.port, self.record, size=BURST, every_s=15.0, seed=time.time_ns()),
            load.hostile(self._world.port, self._ended, pause_s=4.0),
            self.watch.run(),
        ]
        tasks = [asyncio.ensure_future(one) for one in work]
        try:
            await self._schedule(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _ready(self) -> None:
        if why := await until_well(self._world, READY_S):
            raise RuntimeError(f"the miner is not ready: {why}\n{self._world.said()[-3000:]}")
        await asyncio.sleep(FRESH_S)

    async def _schedule(self, tasks: Sequence[asyncio.Future[None]]) -> None:
        """Rounds of faults while the time lasts; then calm. A load that fails ends it at once."""
        start = time.monotonic()
        while (begin := time.monotonic()) - start < self._form.seconds:
            await self._round()
            if not self._form.round_s:
                break
            await asyncio.sleep(max(0.0, begin + self._form.round_s - time.monotonic()))
        rest = start + self._form.seconds - time.monotonic()
        done, _ = await asyncio.wait(tasks, timeout=max(3.0, rest), return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def _round(self) -> None:
        for fault in self._faults:
            seen = await self._suffer(fault)
            self.seen = [one for one in self.seen if one.name != seen.name] + [seen]
            print(line(seen), flush=True)
            await asyncio.sleep(self._form.gap_s)

    def _ended(self, attack: str, endings: Endings) -> None:
        self.endings.setdefault(attack, Counter()).update(endings)

    # One fault

    async def _suffer(self, fault: Fault) -> Seen:
        seen = Seen(fault.name, fault.injected, fault.behaviour)
        said, begin = len(self._world.said()), time.monotonic()
        probing = asyncio.create_task(self._probe(seen))
        try:
            await self._through(fault, seen, begin)
        except NotHere as why:
            seen.skipped = str(why)
            return seen
        finally:
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)
        await self._count(fault, seen, begin)
        if fault.says and fault.says not in self._world.said()[said:]:
            seen.failures.append(f"the log does not say {fault.says!r}")
        return seen

    async def _through(self, fault: Fault, seen: Seen, begin: float) -> None:
        """Bring it about, end it, and wait until all is well again."""
        async with fault.bring(self._world):
            await asyncio.sleep(fault.hold_s)
        end = time.monotonic()
        if fault.cuts:
            self.cuts.append((begin - MOMENT_S, end + MOMENT_S))
        if fault.kills:
            self.kills.append(begin)
        if why_not := await until_well(self._world, RECOVER_S):
            seen.failures.append(f"not well again after {RECOVER_S:.0f} s: {why_not}")
        seen.held_s = 0.0 if fault.once else end - begin
        seen.recovered_s = time.monotonic() - (begin if fault.once else end)

    async def _probe(self, seen: Seen) -> None:
        while True:
            live = await self._world.probe("/health/live")
            ready = await self._world.probe("/health/ready")
            seen.live = sorted({*seen.live, live})
            seen.ready = sorted({*seen.ready, ready})
            await asyncio.sleep(PROBE_S)

    async def _count(self, fault: Fault, seen: Seen, begin: float) -> None:
        """What came of the challenges from its beginning until now."""
        await asyncio.sleep(0.5)
        before = [cut for cut in self.cuts if cut[1] < begin]
        mine = [one for one in self.record.sent if one.done_s >= begin and not in_flight(one, before)]
        found = Counter(one.outcome for one in mine)
        seen.answered, seen.shed, seen.lost = found["answered"], found["shed"], found["lost"]
        seen.refused, seen.unreached = found["refused"] + found["unready"], found["unreached"]
        if seen.lost and not fault.cuts:
            why = Counter(one.reason for one in mine if one.outcome == "lost")
            seen.failures.append(f"{seen.lost} challenges lost: {dict(why)}")
        if seen.refused and not fault.refuses:
            why = Counter(one.reason for one in mine if one.outcome in ("refused", "unready"))
            seen.failures.append(f"{seen.refused} challenges refused: {dict(why)}")
        for what, got, allowed in (("live", seen.live, fault.live), ("ready", seen.ready, fault.ready)):
            if odd := set(got) - allowed:
                seen.failures.append(f"/health/{what} said {', '.join(sorted(odd))}")


async def soak(form: Form, folder: Path, *, only: str = "") -> Report:
    """Run it in an empty `folder`. Prints a line for each fault as it goes."""
    faults = [one for one in FAULTS if only in one.name and (not form.quick or one.name in QUICK)]
    world = World(folder, day_s=form.day_s, small=form.seconds < LONG_S)
    started = time.monotonic()
    try:
        async with world:
            run = Soak(world, form, faults)
            await run.run()
            await asyncio.sleep(1.0)
        return _report(run, world, time.monotonic() - started)
    finally:
        world.close()


def _report(run: Soak, world: World, seconds: float) -> Report:
    sent = run.record.sent
    honest = {ss58(uri): uri for uri in (VALIDATOR, load.BURSTER)}
    ms = sorted(one.ms for one in sent if one.outcome == "answered")
    lost = [one for one in sent if one.outcome == "lost" and not in_flight(one, run.cuts)]
    return Report(
        seconds=round(seconds, 1),
        outcomes=dict(tally(sent, run.cuts)),
        p50_ms=_share(ms, 0.50),
        p95_ms=_share(ms, 0.95),
        max_ms=_share(ms, 1.0),
        late=_late(world.ledger, honest, run.cuts, sent),
        lost=[f"{one.reason} after {one.ms:.0f} ms" for one in lost],
        books=compare(sent, world.data, honest, run.kills, run.cuts, run.record.open),
        faults=run.seen,
        trends=run.watch.trends(),
        endings={name: dict(found) for name, found in sorted(run.endings.items())},
        wrong={
            name: found[ending]
            for name, found in run.endings.items()
            for ending in GOOD_ENDINGS
            if found[ending]
        },
        starts=world.starts,
        notes=run.record.notes,
    )


def _share(ordered: Sequence[float], share: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1) if ordered else 0.0


def _late(
    ledger: Path, honest: dict[str, str], cuts: Sequence[tuple[float, float]], sent: Sequence[load.Sent]
) -> int:
    """Rows of honest callers that the miner itself calls late, or could not answer, and nothing excuses."""
    excused = {one.sha256 for one in sent if in_flight(one, cuts)}
    marks = ",".join("?" * len(honest))
    missed = "outcome IN ('late', 'unavailable', 'error') AND notes NOT LIKE '%engine:starting%'"
    query = f"SELECT sha256 FROM challenges WHERE caller IN ({marks}) AND {missed}"
    with contextlib.closing(sqlite3.connect(ledger)) as db:
        return sum(digest not in excused for (digest,) in db.execute(query, tuple(honest)))

"""Thirty days in minutes: the miner's own parts on a clock that stands still while they work.

The real ones: ledger and recorder, capture with its policies, worker and files, the review desk, the job
scheduler with the jobs of self-improvement, their processes, the registry, and swaps with their trials and
their gate. Played: the validators' challenges, the person who labels, the passing of time; and the engine
looks at each picture once per backbone and remembers what it saw (`month_eye`)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from harness.month_clock import Calendar
from harness.month_eye import Eye, SeenEngine
from harness.month_world import DAY, NIGHT, Streets, shot
from miner.alarms import Alarms
from miner.capture import labelled
from miner.capture.child import Child
from miner.capture.keeper import Keeper
from miner.capture.policy import Rates
from miner.capture.service import Capture
from miner.capture.shelf import Bounds
from miner.capture.store import Store
from miner.capture.switch import Switch
from miner.disk import Disk
from miner.jobs.captured import captured
from miner.jobs.declared import learned
from miner.jobs.job import OK, Job
from miner.jobs.models import models
from miner.jobs.scheduler import SETTLE_S, Scheduler
from miner.learning.create import serving
from miner.learning.learner import MEMORY, TIER, Learner
from miner.learning.process import Start, within
from miner.ledger import LEDGER_NAME, Ledger, recent
from miner.ledger.kept import unlabelled
from miner.recorder import Recorder
from miner.records import Exchange
from miner.registry import MODELS, Registry
from miner.review.desk import Desk
from miner.settings import Data, Learning, RegistrySection, Settings
from miner.swap.engine import SwappingEngine
from miner.swap.gate import gate
from miner.swap.labelled import compared_on
from miner.swap.service import SwapService
from miner.swap.swapper import Rules, Swapper
from models.core import Request, Verdict
from models.description import Description
from models.learn.adaptation.items import Item
from models.learn.metrics import Flags, balanced_mcc, rates
from models.weights import DEFAULT

SHIFT_DAY = 10
NIGHT_SHARE = 0.5
DAY_S, HOUR_S = 86_400.0, 3600.0
START_S = 1_790_035_200.0
"""A Tuesday, 0:00 UTC."""
AUDIT = Rates(audit=0.05, drift=0.7)
"""Above the defaults of 1.5 and 25 %, since a rehearsed day has a few dozen challenges and not thousands."""
EVERY_S = {"remember": 4 * HOUR_S, "drift": DAY_S, "forgetting": 12 * HOUR_S}
"""Seldom enough for challenges that are so few."""
POLL_S = 12 * HOUR_S
EVENING_S = 20 * HOUR_S
"""When the reviewer sits down."""
SHADOW = 8


@dataclass
class Diary:
    """What came of the days: MCC at the end of each, labels so far, and what happened; `jobs` runs of each
    job by outcome."""

    day: list[float] = field(default_factory=list)
    night: list[float] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    marks: list[tuple[int, str]] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    first: dict[str, Flags] = field(default_factory=dict)
    last: dict[str, Flags] = field(default_factory=dict)
    jobs: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)


class Month:
    """`run()` once. `folder` takes the miner's data and the images; `count` challenges a day; `full` the cron
    line of the job that trains all layers, or None; `work` keeps embeddings for another run."""

    def __init__(
        self,
        world: Streets,
        folder: Path,
        *,
        days: int,
        count: int,
        full: str | None,
        seed: int = 0,
        work: Path | None = None,
    ) -> None:
        self.world, self.days, self.count = world, days, count
        self.diary, self.clock = Diary(), Calendar(START_S)
        self._rng, self._coins = np.random.default_rng(seed), np.random.default_rng(seed + 1)
        self._images, self._data = folder / "images", folder / "data"
        self._images.mkdir(parents=True)
        self._eye = Eye(work)
        self._exam = [item for part in (DAY, NIGHT) for item in self._shots(world.exam, part)]
        self._stream = [self._morning(number) for number in range(1, days + 1)]
        self._truth = {item.key: item.roadwork for morning in self._stream for item in morning}
        self.settings = Settings(
            data=Data(path=self._data),
            learning=Learning(full=full),
            registry=RegistrySection(poll_s=POLL_S, shadow=SHADOW, shadow_s=60.0, warm_s=0.0),
        )
        self.ledger = Ledger(self._data / LEDGER_NAME, days=10_000, clock_ns=self.clock.now_ns)
        self.recorder = Recorder([self.ledger])
        self.alarms = Alarms(self._noted, clock=self.clock.now)
        self.desk = Desk(self.ledger, clock_ns=self.clock.now_ns)
        self.capture = self._capture()
        self.registry = Registry(self._data / MODELS, clock_ns=self.clock.now_ns)
        self.engine = SwappingEngine(self._engine, Description("single", ({"kind": TIER},)))
        self.swaps = self._swaps()
        self.scheduler = self._scheduler()

    @property
    def today(self) -> int:
        return int((self.clock.now() - START_S) // DAY_S) + 1

    async def run(self, say: Callable[[str], None] = print) -> Diary:
        async with self._running():
            pictures = [item.path.read_bytes() for item in self._exam]
            pictures += [item.path.read_bytes() for morning in self._stream for item in morning]
            say(f"{len(self._truth)} challenges, {len(self._exam)} images to examine on")
            self._sight.evidence(pictures)
            for number, morning in enumerate(self._stream):
                await self._day(START_S + number * DAY_S, morning)
                self._examine()
                say(self._said(number + 1))
        self._eye.keep()
        return self.diary

    def groups(self, part: str) -> list[str]:
        """Of the exam's images."""
        return [item.group for item in self._exam if item.slice == part]

    def _said(self, day: int) -> str:
        found = self.diary
        return (
            f"day {day}: MCC by day {found.day[-1]:.3f}, at night {found.night[-1]:.3f}; "
            f"{found.labels[-1]} labels"
        )

    # The parts

    def _capture(self) -> Capture:
        section, wire = self.settings.capture, self.settings.wire
        bounds = Bounds(section.bytes, section.count, section.days, section.gold_days)
        child = Child(side=section.side, blur=False, limits=(wire.image_bytes, wire.pixels))
        keeper = Keeper(
            *(Store(self._data), self.ledger, bounds, child),
            duplicate_bits=section.duplicate_bits,
            clock_ns=self.clock.now_ns,
        )
        return Capture(
            *(keeper, Switch(self._data, enabled=True), Disk(self._data, 0), AUDIT),
            most_bytes=section.bytes,
            days=section.days,
            unlabelled=partial(unlabelled, self.ledger.path),
            note=self._noted,
            draw=self._coins.random,
        )

    def _engine(self, described: Description, *, gentle: bool) -> SeenEngine:
        return SeenEngine(described, self._eye, DEFAULT, self._data / MEMORY)

    def _swaps(self) -> SwapService:
        section = self.settings.registry
        rules = Rules(section.shadow, section.shadow_s, within_s=self.settings.wire.answer_within_s)
        pictures = partial(labelled, self._data, guesses=False)
        swapper = Swapper(
            *(self.engine, self.registry),
            base=self.engine.described,
            rules=rules,
            gate=gate,
            labelled=compared_on(pictures, self.registry, section.items),
            note=self._noted,
        )
        return SwapService(swapper, self.registry, (TIER,), (), section, clock=self.clock.now)

    def _scheduler(self) -> Scheduler:
        section = self.settings.learning
        learner = Learner(
            self._data,
            pictures=partial(labelled, self._data),
            serving=lambda: serving(self.engine.described, self.engine.health().versions),
            offer=self.swaps.offer,
            answered=lambda: recent(self.ledger.path, section.watched)[::-1],
            ledger=self.ledger,
            alarms=self.alarms,
            start=_at_full_speed(section.timeout_s),
            drifting=partial(setattr, self.capture, "drifting"),
        )
        jobs = [
            *(_less_often(job) for job in learned(learner, self.settings.learning)),
            Job("models", models(self.swaps.poll), every_s=POLL_S, timeout_s=900),
            Job("capture", captured(self.capture.keeper.expire), every_s=DAY_S),
        ]
        self.clock.sleepers, self.clock.settle = len(jobs), self._trial_over
        return Scheduler(jobs, self, self.alarms, self.clock)

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        self.recorder.start()
        self.capture.start()
        await self.engine.start()
        self._sight = self._serving().sight
        task = asyncio.create_task(self.scheduler.run())
        self.clock.sleepers, sleepers = 1, self.clock.sleepers
        await self.clock.until(START_S + SETTLE_S)
        self.clock.sleepers = sleepers
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await self.swaps.stop()
            self.capture.stop()
            self.recorder.stop()
            self.ledger.close()

    # What the parts write down

    def _noted(self, kind: str, data: Mapping[str, Any]) -> None:
        self.ledger.event(kind, data)
        if kind == "swap":
            self._tried(data)
        elif kind == "alarm" and data["key"].startswith("drift") and data["state"] == "rings":
            self.diary.marks.append((self.today, "drift noticed"))

    def _tried(self, report: Mapping[str, Any]) -> None:
        if report["outcome"] == "promoted":
            self.diary.marks.append((self.today, "promoted"))
        else:
            self.diary.refused.append((self.today, f"{report['outcome']}: {report['why']}"))

    def job_run(
        self, job: str, *, at_s: float, trigger: str, seconds: float, outcome: str, detail: str
    ) -> None:
        """The scheduler's books are the ledger; failures go into the diary too."""
        self.ledger.job_run(job, at_s=at_s, trigger=trigger, seconds=seconds, outcome=outcome, detail=detail)
        self.diary.jobs[f"{job} {outcome}"] += 1
        if outcome != OK:
            self.diary.refused.append((self.today, f"job {job} {outcome}: {detail}"))

    def job_pause(self, job: str, *, paused: bool) -> None:
        self.ledger.job_pause(job, paused=paused)

    # The days

    async def _day(self, midnight_s: float, items: Sequence[Item]) -> None:
        for number, item in enumerate(items):
            await self.clock.until(midnight_s + number * EVENING_S / len(items))
            await self._challenge(item)
        await self.clock.until(midnight_s + EVENING_S)
        await self._review()
        await self.clock.until(midnight_s + DAY_S - 1)

    async def _challenge(self, item: Item) -> None:
        picture = item.path.read_bytes()
        said = await self.engine.submit(_request(item.key, picture))
        one = Exchange(
            said.id, self.clock.now_ns(), "", "rehearsal", "", "", 200, "answered", sha256=item.key
        )
        exchange = _with(one, said)
        self.recorder.record(exchange)
        self.capture.offer(exchange, (picture,), said)
        await self._taken()

    async def _taken(self) -> None:
        """Capture's thread may take its time, but a day here passes in seconds."""
        while self.capture.status()["waiting"]:
            await asyncio.sleep(0.01)

    async def _review(self) -> None:
        """The scripted reviewer knows the truth, and clears the line."""
        await asyncio.to_thread(self.capture.keeper.expire)  # waits for the picture that is being kept
        while self.ledger.backlog:
            await asyncio.sleep(0.01)
        for waiting in (await self.desk.commands["review_next"](limit=200, reviewer="script"))["items"]:
            label = "roadwork" if self._truth[waiting["sha256"]] else "none"
            self.desk.label(waiting["sha256"], label, "script")
        await asyncio.wrap_future(self.ledger.run(lambda db: None))
        self.diary.kept = self.capture.keeper.counts

    async def _trial_over(self) -> None:
        """While a candidate is tried, time stands still, and today's challenges go on coming."""
        pictures = self._stream[min(self.today, self.days) - 1]
        number = 0
        while (await self.swaps.swap_status())["under_way"] is not None:
            item = pictures[number % len(pictures)]
            await self.engine.submit(_request(f"{item.key}-{number}", item.path.read_bytes()))
            number += 1
            await asyncio.sleep(0.02)

    def _serving(self) -> SeenEngine:
        found = self.engine.serving
        assert isinstance(found, SeenEngine)
        return found

    def _examine(self) -> None:
        """What the miner would answer now, with all that it remembers."""
        sight = self._serving().sight
        odds = np.array([sight.verdict(item.key, item.path.read_bytes()).log_odds for item in self._exam])
        for part, column in ((DAY, self.diary.day), (NIGHT, self.diary.night)):
            rows = [n for n, item in enumerate(self._exam) if item.slice == part]
            truth = np.array([self._exam[n].roadwork for n in rows], bool)
            column.append(balanced_mcc(*rates(odds[rows], truth)))
            self.diary.last[part] = (odds[rows] > 0) == truth
            self.diary.first.setdefault(part, self.diary.last[part])
        self.diary.labels.append(len(labelled(self._data)))

    # The pictures

    def _some(self, examples: Sequence[Any], count: int) -> list[Any]:
        """Both classes alike."""
        sides = [[each for each in examples if each.roadwork is side] for side in (False, True)]
        return [sides[n % 2][int(self._rng.integers(len(sides[n % 2])))] for n in range(count)]

    def _shots(self, examples: Sequence[Any], part: str) -> list[Item]:
        first = len(list(self._images.iterdir()))
        paths = (self._images / f"{first + n}.jpg" for n in range(len(examples)))
        return [shot(each, part, path, self._rng) for each, path in zip(examples, paths, strict=False)]

    def _morning(self, number: int) -> list[Item]:
        nights = round(self.count * NIGHT_SHARE) if number >= SHIFT_DAY else 0
        found = self._shots(self._some(self.world.stream, nights), NIGHT)
        found += self._shots(self._some(self.world.stream, self.count - nights), DAY)
        return [found[index] for index in self._rng.permutation(len(found))]


def _at_full_speed(timeout_s: float) -> Start:
    """A miner's learning processes step back behind everybody; here time stands still while they work."""
    start = within(timeout_s)

    async def at_once(module: str, arguments: Sequence[str], data: bytes = b"") -> dict[str, Any]:
        return await start(module, [each for each in arguments if each != "--nice"], data)

    return at_once


def _less_often(job: Job) -> Job:
    return replace(job, every_s=EVERY_S.get(job.name, job.every_s)) if job.every_s else job


def _request(name: str, picture: bytes) -> Request:
    return Request(name[:32], "", "rehearsal", (picture,), float("inf"))


def _with(one: Exchange, said: Verdict) -> Exchange:
    return replace(one, prediction=said.prediction, log_odds=said.log_odds, path=said.path, notes=said.notes)

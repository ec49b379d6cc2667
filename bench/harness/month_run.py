"""Thirty days in minutes: the miner's own ledger, capture policy, learner, registry and gate, on a clock of
their own. Only the network, the person who labels and the passing of time are played."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.month_world import DAY, NIGHT, Streets, shot
from miner.alarms import Alarms
from miner.capture.policy import Rates, applying, choose
from miner.learning.learner import CACHE, MEMORY, TIER, WORK, Learner, Serving
from miner.ledger import Ledger, recent
from miner.records import Exchange
from miner.registry import Registry
from models import memory
from models.calibration import read as read_calibration
from models.cascade import State, verdict
from models.core import Evidence, Verdict
from models.drift import last_change
from models.learn.adaptation import __main__ as adaptation
from models.learn.adaptation.daily import calibrated
from models.learn.adaptation.embed import embed
from models.learn.adaptation.items import Item
from models.learn.gate import Decision, GateEvidence, Paired, decide
from models.learn.metrics import Flags, Floats, balanced_mcc, rates
from models.weights import DEFAULT

SHIFT_DAY = 10
NIGHT_SHARE = 0.5
DAY_NS = 86_400 * 10**9
START_NS = 1_790_000_000 * 10**9
WATCHED = 5000
AUDIT = Rates(audit=0.05, drift=0.7)
"""Above the defaults of 1.5 and 25 %, since a rehearsed day has a few dozen challenges and not thousands."""


@dataclass(frozen=True)
class Kept:
    """A labelled picture, as the learner gets it."""

    sha256: str
    at_ns: int
    roadwork: bool
    month: str
    path: Path
    source: str = "review"

    @property
    def read(self) -> Callable[[], bytes]:
        return self.path.read_bytes


@dataclass
class Diary:
    """What came of the days: MCC at the end of each, labels so far, and what happened."""

    day: list[float] = field(default_factory=list)
    night: list[float] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    marks: list[tuple[int, str]] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    first: dict[str, Flags] = field(default_factory=dict)
    last: dict[str, Flags] = field(default_factory=dict)


class Month:
    """`run()` once. `folder` takes the miner's data and the images; `count` challenges a day; `work` keeps
    embeddings for another run."""

    def __init__(
        self,
        world: Streets,
        folder: Path,
        *,
        days: int,
        count: int,
        seed: int = 0,
        work: Path | None = None,
    ) -> None:
        self.world, self.days, self.count = world, days, count
        self.diary, self.now_ns, self.today = Diary(), START_NS, 0
        self._rng = np.random.default_rng(seed)
        self._images, self._data = folder / "images", folder / "data"
        self._images.mkdir(parents=True)
        self._cache, self._work = self._data / WORK / CACHE, work
        self._kept: list[Kept] = []
        self._drifting = False
        self._folder, self._version = DEFAULT, "shipped"
        self.ledger = Ledger(self._data / "ledger.sqlite", days=10_000, clock_ns=lambda: self.now_ns)
        self.registry = Registry(self._data / "models", clock_ns=lambda: self.now_ns)
        self.learner = self._learner()
        self._exam = [item for part in (DAY, NIGHT) for item in self._shots(world.exam, part)]
        self._golden = self._shots(self._some(world.stream, 80), DAY)
        self._stream = [self._morning(number) for number in range(1, days + 1)]

    async def run(self, say: Callable[[str], None] = print) -> Diary:
        everything = [item for morning in self._stream for item in morning]
        say(f"{len(everything)} challenges, {len(self._exam)} images to examine on")
        self._embed([*everything, *self._exam, *self._golden])
        for today, morning in enumerate(self._stream, start=1):
            self.today, self.now_ns = today, START_NS + today * DAY_NS
            self._answer(morning)
            await self._evening()
            self._examine()
            say(
                f"day {today}: MCC by day {self.diary.day[-1]:.3f}, at night {self.diary.night[-1]:.3f}; "
                f"{len(self._kept)} labels"
            )
        self.ledger.close()
        return self.diary

    def _embed(self, items: Sequence[Item]) -> None:
        """All at once: no learning run has to look at an image again."""
        kept = self._work / CACHE if self._work else None
        self._cache.parent.mkdir(parents=True, exist_ok=True)
        if kept and kept.is_file():
            shutil.copyfile(kept, self._cache)
        embed(DEFAULT, items, self._cache)
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._cache, kept)

    # The traffic

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

    def _answer(self, items: Sequence[Item]) -> None:
        batch = []
        for number, (item, said) in enumerate(zip(items, self._verdicts(items), strict=True)):
            at_ns = self.now_ns + number * 10**9
            one = Exchange(said.id, at_ns, "", "rehearsal", "", "", 200, "answered", sha256=item.key)
            batch.append(_with(one, said))
            kept = choose(applying(said, AUDIT, drifting=self._drifting), self._rng.random)
            if kept is not None:
                self._reviewed(item, at_ns)
        self.ledger.write(batch)

    def _reviewed(self, item: Item, at_ns: int) -> None:
        """The scripted reviewer knows the truth."""
        label = "roadwork" if item.roadwork else "none"
        self.ledger.label(item.key, label, source="review", reviewer="script", at_ns=at_ns)
        month = str(np.datetime64(at_ns, "ns"))[:7]
        self._kept.append(Kept(item.key, at_ns, item.roadwork, month, item.path))

    # The model that serves

    def _odds(self, folder: Path, items: Sequence[Item]) -> Floats:
        return calibrated(
            read_calibration(folder / "calibration.json"), embed(folder, items, self._cache).raw
        )

    def _verdicts(self, items: Sequence[Item]) -> list[Verdict]:
        """As the engine makes them: the classifier's word, what it remembers, the cascade."""
        seen = embed(self._folder, items, self._cache)
        odds = calibrated(read_calibration(self._folder / "calibration.json"), seen.raw)
        told: list[dict[str, float]] = [{} for _ in items]
        if (self._data / MEMORY / memory.FILE).is_file():
            told = memory.read(self._data / MEMORY).features(seen.vectors)
        evidence = [
            Evidence(TIER, self._version, float(value), features=more)
            for value, more in zip(odds, told, strict=True)
        ]
        return [
            verdict(State(item.key[:16], 0.0, (), (said,)))
            for item, said in zip(items, evidence, strict=True)
        ]

    # The evening's jobs

    def _learner(self) -> Learner:
        return Learner(
            self._data,
            pictures=lambda: self._kept,
            serving=lambda: Serving(self._folder, self._version),
            offer=self._offer,
            answered=lambda: recent(self.ledger.path, WATCHED)[::-1],
            ledger=self.ledger,
            alarms=Alarms(self.ledger.event, clock=lambda: self.now_ns / 1e9),
            start=_here,
            drifting=self._set_drifting,
        )

    def _set_drifting(self, on: bool) -> None:
        if on and not self._drifting:
            self.diary.marks.append((self.today, "drift noticed"))
        self._drifting = on

    async def _offer(self, tier: str, folder: Path, facts: Mapping[str, Any]) -> str:
        return await asyncio.to_thread(self.registry.add, tier, folder, facts)

    async def _evening(self) -> None:
        for job in (self.learner.drift, self.learner.remember):
            await job()
        self.ledger.write(())
        before = {one.name for one in self.registry.versions(TIER)}
        await self.learner.learn("head")
        for version in [one.name for one in self.registry.versions(TIER) if one.name not in before]:
            await self._try(version)
        await self.learner.measure()
        self.ledger.write(())

    async def _try(self, version: str) -> None:
        decision = self._gate(version)
        if not decision.promote:
            self.diary.refused.append((self.today, "; ".join(decision.reasons)))
            self.ledger.event("swap", {"version": version, "promoted": False, "why": decision.reasons})
            return
        self.registry.promote(TIER, version)
        self._folder, self._version = self.registry.path(TIER, version), version
        self.diary.marks.append((self.today, "promoted"))
        self.ledger.event("swap", {"version": version, "promoted": True, "why": decision.reasons})
        await self.learner.remember()

    def _gate(self, version: str) -> Decision:
        """On what the version was not trained on, in the order of the labels; no memory takes part."""
        trained, folder = self.registry.trained(TIER, version), self.registry.path(TIER, version)
        free = [one for one in self._kept if one.sha256 not in trained]
        items = [Item(one.sha256, one.path, one.roadwork) for one in free]
        return decide(GateEvidence(self._paired(items, folder), self._paired(self._golden, folder)))

    def _paired(self, items: Sequence[Item], folder: Path) -> Paired:
        truth = np.array([item.roadwork for item in items], bool)
        return Paired(truth, self._odds(self._folder, items), self._odds(folder, items))

    def _examine(self) -> None:
        said = self._verdicts(self._exam)
        for part, column in ((DAY, self.diary.day), (NIGHT, self.diary.night)):
            rows = [n for n, item in enumerate(self._exam) if item.slice == part]
            truth = np.array([self._exam[n].roadwork for n in rows], bool)
            odds = np.array([said[n].log_odds for n in rows], float)
            column.append(balanced_mcc(*rates(odds, truth)))
            self.diary.last[part] = (odds > 0) == truth
            self.diary.first.setdefault(part, self.diary.last[part])
        self.diary.labels.append(len(self._kept))

    def groups(self, part: str) -> list[str]:
        """Of the exam's images."""
        return [item.group for item in self._exam if item.slice == part]


async def _here(module: str, arguments: Sequence[str], data: bytes) -> dict[str, Any]:
    """The learning processes' own code, in this process: thirty days would start a hundred of them."""
    if module == "models.drift":
        asked = json.loads(data)
        found = {name: last_change(each, asked["delta"]) for name, each in asked["streams"].items()}
        return {name: one and asdict(one) for name, one in found.items()}
    options = adaptation.parse([each for each in arguments if each != "--nice"])
    return json.loads(json.dumps((await asyncio.to_thread(adaptation.run, options)).to_json()))


def _with(one: Exchange, said: Verdict) -> Exchange:
    return replace(one, prediction=said.prediction, log_odds=said.log_odds, path=said.path, notes=said.notes)

"""What the jobs of self-improvement do. Nothing here promotes: candidates go to the registry, and its gate
decides."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from miner.alarms import Alarms
from miner.capture import Labelled as Picture
from miner.learning import streams as watched
from miner.learning.collect import ITEMS, lay_out, mark
from miner.learning.process import ADAPT, DRIFT, Start
from miner.ledger import Judged, Ledger

TIER = "classifier"
MEMORY, WORK, CACHE = "memory", "learning", "embeddings.safetensors"
ALARM = "drift"
Kind = Literal["bias", "head", "full"]
Offer = Callable[[str, Path, Mapping[str, Any]], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Serving:
    """The classifier that serves: its checkpoint's folder, its version as verdicts name it, and the licence
    that what is trained from it comes under ("" where none is stated)."""

    folder: Path
    version: str
    licence: str = ""


@dataclass(slots=True)
class Done:
    """What was last done: the `mark` of the pictures for each clock, and whether drift asks for more."""

    remembered: str = ""
    learned: dict[str, str] = field(default_factory=dict)
    sliced: str = ""
    hasten: bool = False
    told: dict[str, int] = field(default_factory=dict)
    labels: int = 0


class Learner:
    """`data` the miner's folder; `pictures` the labelled ones, oldest first; `serving` the classifier now
    (None: not one of a folder); `offer` lets a candidate into the registry; `answered` the newest challenges,
    oldest first; `start` runs a process; `drifting` is told whether a drift is being looked into."""

    def __init__(
        self,
        data: Path,
        *,
        pictures: Callable[[], Sequence[Picture]],
        serving: Callable[[], Serving | None],
        offer: Offer,
        answered: Callable[[], Sequence[Judged]],
        ledger: Ledger,
        alarms: Alarms,
        start: Start,
        drifting: Callable[[bool], None] = lambda on: None,
        remembers: bool = True,
        distil: bool = False,
        most: int = 4096,
        fresh: int = 20,
        delta: float = 0.002,
    ) -> None:
        self.memory, self._work = data / MEMORY, data / WORK
        self._pictures, self._serving, self._offer, self._answered = pictures, serving, offer, answered
        self._ledger, self._alarms, self._start, self._drifting = ledger, alarms, start, drifting
        self._remembers, self._most, self._fresh, self._delta = remembers, most, fresh, delta
        self._distil = distil
        self._done = Done()

    async def remember(self) -> str:
        """Minutes after a label: the memory made anew. Where drift was seen and enough labels have come
        since, the daily run is made at once. Raises LearningFailed."""
        pictures, serving = await asyncio.to_thread(self._pictures), self._serving()
        if serving is None:
            return "the classifier is no checkpoint in a folder: nothing can be learned for it"
        said = await self._remembered(pictures, serving)
        if self._done.hasten and len(pictures) - self._done.labels >= self._fresh:
            self._done.hasten = False
            said = f"{said}; after a drift: {await self.learn('head')}"
        return said

    async def learn(self, kind: Kind) -> str:
        """A candidate for the registry from all labels so far, if there is something to learn. Raises
        LearningFailed."""
        pictures, serving = await asyncio.to_thread(self._pictures), self._serving()
        if serving is None:
            return "the classifier is no checkpoint in a folder: nothing can be learned for it"
        now = f"{mark(pictures)} {serving.version}"
        if not pictures or self._done.learned.get(kind) == now:
            return "no new labels"
        with self._folder() as out:
            found = await self._adapt(kind, pictures, serving, out)
            self._done.learned[kind] = now
            self._done.labels = len(pictures)
            if not found["made"]:
                return str(found["why"])
            version = await self._offer(TIER, out, self._facts(kind, found, serving))
        self._ledger.event("learned", {"kind": kind, "version": version, **_about(found)})
        return f"{version}: {found['why']}"

    async def measure(self) -> str:
        """What was forgotten: after each promotion, accuracy on every slice of the labels that nobody trains
        on, into the ledger. Raises LearningFailed."""
        pictures, serving = await asyncio.to_thread(self._pictures), self._serving()
        if serving is None or not pictures or self._done.sliced == serving.version:
            return "nothing new"
        with self._folder() as out:
            found = await self._adapt("judge", pictures, serving, out)
        for part in found["after"]:
            self._ledger.slice(TIER, serving.version, part)
        self._done.sliced = serving.version
        return f"{serving.version} on {len(found['after'])} slices"

    async def drift(self) -> str:
        """Look for changes in the streams. A new one for the worse is an event and an alarm, and brings
        learning forward; the alarm ends with the change. Raises LearningFailed."""
        found = await asyncio.to_thread(self._streams)
        if not found:
            return "nothing to watch yet"
        asked = {"delta": self._delta, "streams": {name: one.values for name, one in found.items()}}
        changes = await self._start(DRIFT, (), json.dumps(asked).encode())
        worse = {name: each for name, each in changes.items() if each and _worse(name, each)}
        for name, each in worse.items():
            self._tell(name, each, found[name].at_ns[each["at"]])
        self._alarms.hold(ALARM, {name: ("warn", _sentence(name, each)) for name, each in worse.items()})
        self._drifting(bool(worse))
        return "; ".join(_sentence(name, each) for name, each in worse.items()) or "no change for the worse"

    def _streams(self) -> dict[str, watched.Stream]:
        truth = {one.sha256: one.roadwork for one in self._pictures() if one.source != "pseudo"}
        return watched.streams(self._answered(), truth)

    def _tell(self, name: str, change: Mapping[str, Any], at_ns: int) -> None:
        """Once for each change."""
        if at_ns <= self._done.told.get(name, 0):
            return
        self._done.told[name] = at_ns
        self._done.hasten = True
        self._ledger.event(
            "drift", {"stream": name, "at_ns": at_ns, **change, "text": _sentence(name, change)}
        )

    async def _remembered(self, pictures: Sequence[Picture], serving: Serving) -> str:
        now = f"{mark(pictures)} {serving.folder}"
        if not self._remembers or self._done.remembered == now:
            return "no new labels" if self._remembers else "remembering is off"
        if not pictures:
            shutil.rmtree(self.memory, ignore_errors=True)
            self._done.remembered = now
            return "no labels, so nothing is remembered"
        found = await self._adapt("remember", pictures, serving, self.memory)
        self._done.remembered = now
        return str(found["why"])

    async def _adapt(
        self, kind: str, pictures: Sequence[Picture], serving: Serving, out: Path
    ) -> dict[str, Any]:
        work = await asyncio.to_thread(lay_out, pictures, self._work)
        try:
            arguments = ["--items", work / ITEMS, "--base", serving.folder, "--out", out, "--nice"]
            arguments += ["--cache", self._work / CACHE, "--most", self._most]
            if kind == "full" and self._distil:
                arguments.append("--distil")
            return await self._start(ADAPT, (kind, *map(str, arguments)), b"")
        finally:
            await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        self._work.mkdir(parents=True, exist_ok=True, mode=0o700)
        out = Path(tempfile.mkdtemp(prefix=".candidate-", dir=self._work))
        try:
            yield out
        finally:
            shutil.rmtree(out, ignore_errors=True)

    def _facts(self, kind: Kind, found: Mapping[str, Any], serving: Serving) -> dict[str, Any]:
        told = {"source": f"learned ({kind})", "metrics": dict(found["metrics"]), "parent": serving.version}
        return told | ({"licence": serving.licence} if serving.licence else {})


def _about(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in ("why", "metrics", "before", "after")}


def _worse(name: str, change: Mapping[str, Any]) -> bool:
    return bool((change["after"] - change["before"]) * watched.WORSE[name] > 0)


def _sentence(name: str, change: Mapping[str, Any]) -> str:
    return f"{watched.WORDS[name]}: {change['before']:.3g}, now {change['after']:.3g}"

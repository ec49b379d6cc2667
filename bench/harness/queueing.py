"""A fleet of miners as queues: what it can carry by arithmetic, and how long callers wait by simulation.

A unit is one miner: its front (one core: an interpreter runs one thread at a time), an engine child for each
of its devices (one core for what is Python in it, decoding threads, and the device, which judges in batches),
and its share of the hotkeys. Units know nothing of each other: a fleet is as many of them, so arithmetic
multiplies and the simulation follows one. The VLM servers behind a cascade are not in here.

Who is admitted, who goes next and how large a batch is decides the miner's own code (`miner.engine.gate`,
`queues`, `forecast`) on a virtual clock; what is reckoned here is only what things cost. Deterministic by
seed."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from miner.engine.config import EngineConfig
from miner.engine.forecast import Arrivals, Learner
from miner.engine.gate import Gate
from miner.engine.interface import Shed
from miner.engine.queues import DeadlineQueue, Waiting
from models.core import Request
from models.description import Description

WITHIN_S = 7.5
"""The miner's own deadline after arrival (wire.answer_within_s)."""
FRONT, CHILD, DECODE, DEVICE = "front", "engine child", "decoding", "device"
"""The stages, in the order a challenge meets them."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of one challenge of one picture. `front` CPU of the front for an answer, `refused` for a
    refusal; `child` CPU of the engine child without decoding and model; `decode` of one decoding thread, of
    which there are `decoders`; `a`, `b` a batch of n takes a + b n, with `spread` its coefficient of
    variation; `rest` what a challenge alone takes beyond all these (sockets, threads waking each other).

    `most` images of a batch. Of each hotkey: `hotkey_mb` resident memory, `hotkey_cpu` CPU seconds a second
    when nobody asks; `front_mb` of a front with none."""

    front: float
    refused: float
    child: float
    decode: float
    a: float
    b: float
    spread: float = 0.0
    rest: float = 0.0
    decoders: int = 2
    most: int = 16
    hotkey_mb: float = 0.0
    hotkey_cpu: float = 0.0
    front_mb: float = 0.0

    def batch(self, images: int) -> float:
        return self.a + self.b * images

    def faster(self, times: float) -> Costs:
        """The same with a device so many times as fast."""
        return replace(self, a=self.a / times, b=self.b / times)

    def taught(self) -> Learner:
        """What the miner knows of such batches once it has warmed up."""
        learner = Learner(self.most, self.decoders)
        for _ in range(32):
            learner.decoded(self.decode)
        size = 1
        while size <= self.most:
            learner.judged(size, self.batch(size))
            size *= 2
        return learner


@dataclass(frozen=True, slots=True)
class Fleet:
    """`devices` on as many miners as `per_front` makes of them; `hotkeys` spread over the miners."""

    devices: int
    hotkeys: int
    per_front: int = 1

    @property
    def fronts(self) -> int:
        """A hotkey is served by one miner, so more of these than hotkeys are idle."""
        return min(math.ceil(self.devices / self.per_front), self.hotkeys)

    @property
    def unit_hotkeys(self) -> int:
        """Of the fullest miner."""
        return math.ceil(self.hotkeys / self.fronts)


def capacities(costs: Costs, devices: int = 1, hotkeys: int = 0) -> dict[str, float]:
    """Images a second that each stage of one unit of so many devices can carry. What its hotkeys take of the
    front when nobody asks is not there for challenges."""
    forecast = costs.taught().forecast()
    batch = forecast.fullest(costs.most)
    return {
        FRONT: max(0.0, 1.0 - hotkeys * costs.hotkey_cpu) / costs.front,
        CHILD: devices / costs.child if costs.child else math.inf,
        DECODE: devices * costs.decoders / costs.decode if costs.decode else math.inf,
        DEVICE: devices * batch / costs.batch(batch) if costs.batch(batch) else math.inf,
    }


def bottleneck(costs: Costs, devices: int = 1, hotkeys: int = 0) -> tuple[str, float]:
    """The stage that is full first, and the images a second of one unit at which it is."""
    found = capacities(costs, devices, hotkeys)
    stage = min(found, key=found.__getitem__)
    return stage, found[stage]


@dataclass(slots=True)
class Outcome:
    """Of one unit, arrivals over `seconds` of virtual time: `ms` of the answered and `ends` when they were
    answered (s); counts of the shed and of those answered after their deadline; `batches` of the devices."""

    seconds: float = 0.0
    ms: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    shed: int = 0
    late: int = 0
    batches: int = 0

    def rate(self, since: float = 0.0) -> float:
        """Answers a second from `since` until the last arrival."""
        return sum(since <= at < self.seconds for at in self.ends) / max(1e-9, self.seconds - since)

    def percentile(self, q: float) -> float:
        """In ms; not a number without answers."""
        ordered = sorted(self.ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * q))] if ordered else math.nan

    @property
    def shed_share(self) -> float:
        return self.shed / max(1, self.shed + len(self.ms))


class Server:
    """`count` equal servers with one line of waiting, first come, first served; to be asked in the order of
    time."""

    def __init__(self, count: int = 1) -> None:
        self._free = [0.0] * count

    def serve(self, now: float, seconds: float) -> float:
        """When it is done."""
        done = max(now, heapq.heappop(self._free)) + seconds
        heapq.heappush(self._free, done)
        return done


class Engine:
    """One device and its child. `clock` tells the virtual time."""

    def __init__(self, costs: Costs, clock: Callable[[], float]) -> None:
        config = EngineConfig(Description("twin", ({"kind": "twin"},)), device="cpu", most=costs.most)
        self.gate = Gate(config, clock)
        self.python, self.decoders = Server(), Server(costs.decoders)
        self.learner = costs.taught()
        self.queue: DeadlineQueue[Asked] = DeadlineQueue(
            lambda images: self.learner.forecast().safe_cost(images)
        )
        self.arrivals = Arrivals()
        self.inside = 0
        self.busy = False


@dataclass(frozen=True, slots=True)
class Asked:
    """One challenge on its way through a unit."""

    request: Request
    arrived: float


class Unit:
    """One miner on a virtual clock, with so many `devices`; a challenge goes to the one with the fewest."""

    def __init__(self, costs: Costs, devices: int = 1, seed: int = 0, within_s: float = WITHIN_S) -> None:
        self._costs, self._within_s = costs, within_s
        self._now = 0.0
        self._chance = random.Random(seed)
        self._front = Server()
        self._engines = [Engine(costs, lambda: self._now) for _ in range(devices)]
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._seen = Outcome()

    def run(self, arrivals: Iterable[tuple[float, str]]) -> Outcome:
        """`arrivals` (second, the hotkey that is asked) in the order of time."""
        for at, hotkey in arrivals:
            self._advance(at)
            self._now = self._seen.seconds = at
            request = Request(str(next(self._numbers)), hotkey, "", (b"x",), at + self._within_s)
            done = self._front.serve(at, self._costs.refused)
            self._at(done, partial(self._enter, Asked(request, at)))
        self._advance(math.inf)
        return self._seen

    def _at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), what))

    def _advance(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self._now, _, what = heapq.heappop(self._events)
            what()

    def _enter(self, asked: Asked) -> None:
        engine = min(self._engines, key=lambda each: each.inside)
        try:
            engine.gate.enter(asked.request, engine.learner.forecast())
        except Shed:
            self._seen.shed += 1
            return
        engine.inside += 1
        done = engine.python.serve(self._now, self._costs.child)
        self._at(done, partial(self._decode, engine, asked))

    def _decode(self, engine: Engine, asked: Asked) -> None:
        done = engine.decoders.serve(self._now, self._costs.decode)
        self._at(done, partial(self._decoded, engine, asked))

    def _decoded(self, engine: Engine, asked: Asked) -> None:
        request = asked.request
        engine.arrivals.came(self._now, 1)
        engine.queue.put(Waiting(request.id, asked, request.deadline, self._now, group=request.hotkey))
        self._next(engine)

    def _next(self, engine: Engine) -> None:
        if engine.busy:
            return
        for asked in engine.queue.expire(self._now):
            self._left(engine, asked)
            self._seen.late += 1
        size = engine.learner.forecast().size(engine.arrivals.rate(self._now), self._costs.most)
        if batch := engine.queue.take(size, self._now):
            engine.busy = True
            took = self._costs.batch(len(batch)) * self._noise()
            self._at(self._now + took, partial(self._judged, engine, batch, took))

    def _noise(self) -> float:
        """Log-normal, 1 in the mean."""
        if not self._costs.spread:
            return 1.0
        sigma = math.sqrt(math.log1p(self._costs.spread**2))
        return self._chance.lognormvariate(-sigma * sigma / 2, sigma)

    def _judged(self, engine: Engine, batch: Sequence[Asked], took: float) -> None:
        engine.busy = False
        engine.learner.judged(len(batch), took)
        self._seen.batches += 1
        for asked in batch:
            self._left(engine, asked)
            done = self._front.serve(self._now, max(0.0, self._costs.front - self._costs.refused))
            end = done + self._costs.rest
            self._seen.ms.append((end - asked.arrived) * 1e3)
            self._seen.ends.append(end)
            self._seen.late += end > asked.request.deadline
        self._next(engine)

    def _left(self, engine: Engine, asked: Asked) -> None:
        engine.inside -= 1
        engine.gate.leave(asked.request, None)


def poisson(rate: float, count: int, hotkeys: int = 1, seed: int = 0) -> Iterator[tuple[float, str]]:
    """`count` arrivals that do not know of each other, `rate` a second in the mean, each asking one of so
    many hotkeys."""
    chance, at = random.Random(seed), 0.0
    for _ in range(count):
        yield at, str(chance.randrange(hotkeys))
        at += chance.expovariate(rate)


def carried(costs: Costs, devices: int = 1, seconds: float = 60.0, seed: int = 0) -> float:
    """Images a second that one unit answers, by simulation, when three times as much is asked as arithmetic
    says it can: the cross-check of `bottleneck`."""
    _, most = bottleneck(costs, devices)
    seen = Unit(costs, devices, seed).run(poisson(3 * most, int(3 * most * seconds), seed=seed))
    return seen.rate(since=seconds / 4)


def line(seconds: dict[int, float]) -> tuple[float, float]:
    """(a, b) >= 0 of the least relative squares through batch size -> seconds."""
    sizes, taken = np.array(list(seconds), float), np.array(list(seconds.values()))
    design = np.stack([1 / taken, sizes / taken], axis=1)
    a, b = np.linalg.lstsq(design, np.ones(len(sizes)), rcond=None)[0]
    if a < 0:
        return 0.0, float(np.mean(taken / sizes))
    return (float(a), float(b)) if b > 0 else (float(np.mean(taken)), 0.0)

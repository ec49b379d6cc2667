"""From a request to its verdict, beside the model: decoding threads, a lane per tier, the cascade, the
deadline.

Runs in the engine child, or in the miner's own process behind the thread engine. It decides nothing about
who is admitted; whoever comes in gets exactly one outcome."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from queue import PriorityQueue
from typing import Any

from loguru import logger

from miner.engine import picture
from miner.engine.forecast import Forecast
from miner.engine.interface import BadImage, Refused, Unavailable
from miner.engine.lane import Lane, Running, Task
from miner.engine.pilot import CourseState, Pilot
from miner.engine.remote import Desk, Remote, RemoteLane
from models import cascade, layout
from models.cascade import PLAIN, Ask, Plan, State
from models.core import Evidence, Request, Tier, Verdict
from models.difficulty import scene
from models.imaging.header import ImageError, Limits

Outcome = Verdict | Refused
Done = Callable[[Outcome], None]
Mark = Callable[[int, int, Sequence[int]], None]
"""Told who is being worked on: first slot, how many slots the worker has, the numbers of the requests."""

WARM_UP_S = 1.0
"""Of batches that teach what they take, all tiers together, beyond what it must judge."""

SWEEP_S = 0.02
"""How often deadlines are looked at: an outcome comes at most this much after its deadline."""


def _nobody() -> None:
    """Nobody wants to know."""


@dataclass(slots=True, eq=False)
class Job:
    """One request in here. `views` is emptied with the outcome, so that nobody holds on to the bytes.
    `asked` is the tier whose word is awaited, `share` how much of a picture's side it is shown; `passed` is
    told when the first one is done and another is asked."""

    number: int
    id: str
    views: tuple[bytes, ...]
    deadline: float
    priority: float
    done: Done
    state: State
    arrived: float
    asked: str
    share: float = 1.0
    passed: Callable[[], None] = _nobody
    solo: bool = False
    hotkey: str = ""
    images: list[Any] = field(default_factory=list)
    ms: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    finished: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """A look inside, for heartbeats. `running` the batch on the slowest device; `last_s` monotonic time of
    the last verdict."""

    forecast: Forecast
    queued: int
    active: int
    answered: int
    running: Running | None
    last_s: float | None
    batch_sizes: dict[int, int]
    course: CourseState


class Judge:
    """`tiers` in the order of the cascade, those elsewhere among them; `plan` how they decide; `limits` for
    decoding; `most` images in a batch; `p95_ms`, `budget_ms` see EngineConfig; `broken` is called when
    the first tier's device fails even on the known picture (a sticky error shows there too; a fault of a
    later tier costs its word only). `mark` gets slots 0..decoders-1 for decoding, then `most` per tier."""

    def __init__(
        self,
        tiers: Sequence[Tier | Remote],
        *,
        limits: Limits,
        plan: Callable[[Sequence[tuple[str, str]]], Plan] = lambda members: PLAIN,
        most: int = 16,
        decoders: int = 2,
        p95_ms: float | None = None,
        budget_ms: float | None = None,
        broken: Callable[[str], None],
        mark: Mark = lambda first, count, numbers: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._mark = mark
        first = next((tier for tier in tiers if not isinstance(tier, Remote)), None)
        self._lanes = {
            tier.name: Lane(
                tier,
                most=most,
                decoders=decoders,
                speak=self._spoken,
                mark=partial(mark, decoders + place * most, most),
                broken=broken if tier is first else None,
                full=lambda: self._pilot.full,
                clock=clock,
            )
            for place, tier in enumerate(tiers)
            if not isinstance(tier, Remote)
        }
        if not self._lanes:
            raise ValueError("a cascade needs a member of its own: servers elsewhere may all be away")
        self._first = next(iter(self._lanes))
        self._desk = Desk()
        self._elsewhere = [tier for tier in tiers if isinstance(tier, Remote)]
        self._remote: dict[str, RemoteLane] = {}
        self._order = tuple(tier.name for tier in tiers)
        least = 1 + self._order.index(self._first)
        smaller = bool(self._elsewhere) or any(lane.shrinks for lane in self._lanes.values())
        self._pilot = Pilot(
            *(self._order, least, p95_ms, budget_ms), smaller=smaller, waiting_ms=self._waiting_ms
        )
        self._make_plan, self._plan = plan, PLAIN
        self._side = _side([lane.tier for lane in self._lanes.values()])
        self._work: PriorityQueue[tuple[bool, int, Job | None]] = PriorityQueue()
        self._turns = itertools.count()
        self._jobs: set[Job] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._some = threading.Event()
        self._numbers = itertools.count(1)
        self._answered = 0
        self._last: float | None = None
        self._warm = False
        self._threads = [
            *(
                threading.Thread(target=self._decoding, args=(n,), name=f"decode-{n}", daemon=True)
                for n in range(decoders)
            ),
            threading.Thread(target=self._sweeping, name="deadlines", daemon=True),
        ]

    @property
    def versions(self) -> dict[str, str]:
        """Tier name -> version, in the order of the cascade."""
        return {name: self._version(name) for name in self._order}

    @property
    def early_by(self) -> str:
        """File of the certificate under which somebody may leave early; "" when nobody may."""
        return self._plan.source

    def _version(self, name: str) -> str:
        return self._lanes[name].tier.version if name in self._lanes else self._remote[name].version

    def warm_up(self, pictures: Sequence[bytes] = ()) -> dict[str, list[Evidence]]:
        """Have every tier of our own judge these pictures, or a plain one: tier name -> what it says of each.
        Raises whatever one raises on them."""
        decoded = [self._decode(each).image for each in pictures or (picture.png(),)]
        each_s = WARM_UP_S / len(self._lanes)
        said = {name: lane.warm_up(decoded, each_s) for name, lane in self._lanes.items()}
        self._warm = True
        return said

    def measure_again(self) -> None:
        """After a `warm_up` that had little of the CPU: what it learned of the time holds no longer."""
        for lane in self._lanes.values():
            lane.measure_again()

    def start(self) -> None:
        """Begin, after `warm_up` if that was not called yet. Threads inherit the caller's priority."""
        if not self._warm:
            self.warm_up()
        self._last = self._clock()
        self._desk.start()
        for remote in self._elsewhere:
            member = self._desk.open(remote)
            self._remote[remote.name] = RemoteLane(member, self._desk, self._heard_from, clock=self._clock)
        self._plan = self._make_plan(list(self.versions.items()))
        for lane in self._lanes.values():
            lane.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads; what is still open gets Unavailable."""
        self._stop.set()
        self._some.set()
        for _ in self._threads[:-1]:
            self._put(None)
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        for lane in self._lanes.values():
            lane.stop()
        self._desk.stop()
        for job in list(self._jobs):
            self._finish(job, Unavailable("stopped"))

    def submit(
        self,
        request: Request,
        done: Done,
        *,
        passed: Callable[[], None] = _nobody,
        number: int | None = None,
        solo: bool = False,
    ) -> Job:
        """Judge it; `done` gets the outcome once, `passed` is called if others are asked after the first tier
        of our own: both in threads of ours. `solo`: never in a batch with others."""
        job = Job(
            number=next(self._numbers) if number is None else number,
            id=request.id,
            views=request.views,
            deadline=request.deadline,
            priority=request.priority,
            hotkey=request.hotkey,
            done=done,
            state=State(request.id, request.deadline, self._order, plan=self._plan),
            arrived=self._clock(),
            asked=self._order[0],
            passed=passed,
            solo=solo,
        )
        with self._lock:
            self._jobs.add(job)
        self._some.set()
        self._put(job)
        return job

    def cancel(self, job: Job) -> None:
        """Nobody waits for it any more: `done` is not called, unless it is being called just now."""
        self._close(job)

    def progress(self) -> Progress:
        first = next(iter(self._lanes.values()))
        runs = [lane.running for lane in self._lanes.values() if lane.running is not None]
        batches: Counter[int] = Counter()
        for lane in self._lanes.values():
            batches.update(lane.batches.copy())
        return Progress(
            forecast=first.learner.forecast(),
            queued=sum(map(len, self._lanes.values())) + self._work.qsize(),
            active=len(self._jobs),
            answered=self._answered,
            running=min(runs, key=lambda run: run.since, default=None),
            last_s=self._last,
            batch_sizes=dict(batches),
            course=self._pilot.state(),
        )

    # Decoding threads

    def _put(self, job: Job | None) -> None:
        """In turn, those in the background after all others; None ends a thread."""
        self._work.put((job is not None and job.priority < 0, next(self._turns), job))

    def _decoding(self, slot: int) -> None:
        while (job := self._work.get()[2]) is not None:
            self._mark(slot, 1, [job.number])
            try:
                self._prepare(job)
            except ImageError as error:
                self._finish(job, BadImage(error.reason))
            except Exception:  # noqa: BLE001 - the edge of a request: it ends this one, not the thread
                logger.exception("request {} failed while being prepared", job.id)
                self._finish(job, Unavailable("failed"))
            finally:
                self._mark(slot, 1, [])

    def _decode(self, data: bytes) -> Any:
        from models.imaging.decode import decode

        return decode(data, self._limits, side=self._side)

    def _prepare(self, job: Job) -> None:
        """Decode at the first visit, then ask the tier that is next: make its input, or send the views."""
        if job.finished:
            return
        start = self._clock()
        if not job.images:
            views = job.views
            decoded = [self._decode(view) for view in views]
            job.images = [each.image for each in decoded]
            job.notes = tuple(note for each in decoded for note in each.notes)
            job.state = _measured(job.state, job.images, views)
        job.share = self._share(job)
        if job.asked in self._remote:
            elsewhere = self._remote[job.asked]
            elsewhere.put(job, _shown(job), job.id)
            if job.finished:
                elsewhere.discard(job)
            return
        lane = self._lanes[job.asked]
        boxes = [box for item in job.state.evidence for box in item.boxes]
        inputs = lane.prepare(job.images, boxes, job.share)
        taken = self._clock() - start
        job.ms["decode"] = job.ms.get("decode", 0.0) + taken * 1e3
        lane.learner.decoded(taken / len(inputs))
        lane.put(job, inputs)
        if job.finished:
            lane.discard(job)

    def _share(self, job: Job) -> float:
        """How much of a picture's side whoever is asked is shown: less under load, if it can do with that."""
        lane = self._lanes.get(job.asked)
        if job.priority < 0 or (lane is not None and not lane.shrinks):
            return 1.0
        return self._pilot.course(self._clock()).share

    def _waiting_ms(self) -> float:
        """Of the first tier: cautious milliseconds until all that waits for it is judged."""
        lane = self._lanes[self._first]
        return lane.learner.forecast().backlog(len(lane)) * 1e3 if len(lane) else 0.0

    # The cascade

    def _spoken(self, task: Task, evidence: Evidence | None) -> None:
        job = task.job
        assert isinstance(job, Job)
        job.ms["queue"] = job.ms.get("queue", 0.0) + (task.began_at - task.put_at) * 1e3
        self._hear(job, evidence)

    def _heard_from(self, job: Job, began: float, evidence: Evidence | None) -> None:
        """A remote member, in the desk's thread."""
        if not job.finished:
            self._hear(job, evidence)

    def _hear(self, job: Job, evidence: Evidence | None) -> None:
        if evidence is not None and job.share < 1:  # another resolution is another member to a certificate
            evidence = replace(evidence, version=f"{evidence.version}@{job.share:g}")
            job.notes = (*job.notes, f"smaller:{job.asked}")
        job.state = job.state.lost(job.asked) if evidence is None else job.state.heard(evidence)
        self._advance(job)

    def _advance(self, job: Job) -> None:
        """Ask the next tier that can still speak in time, or answer."""
        first = job.asked == self._first
        while isinstance(action := cascade.step(job.state, self._clock()), Ask):
            job.asked = action.tier
            why = self._why_not(job, action.tier)
            if why is None:
                if first:
                    job.passed()
                self._put(job)
                return
            job.state = job.state.skipped(action.tier)
            job.notes = (*job.notes, f"{why}:{action.tier}")
        self._answer(job, action)

    def _why_not(self, job: Job, tier: str) -> str | None:
        """Why a tier is not asked: too much load, no time, or no wish to speak after what others said."""
        if job.state.evidence and job.priority >= 0 and not self._pilot.lets(tier, self._clock()):
            return "load"
        lane = self._lanes.get(tier)
        if lane is None:
            return None if self._remote[tier].wanted(job.state) else "unwanted"
        return "no_time" if job.state.evidence and not lane.in_time(job.deadline) else None

    def _answer(self, job: Job, verdict: Verdict) -> None:
        if not verdict.spoken:
            self._finish(job, Unavailable("deadline" if job.state.remaining else "failed"))
            return
        self._last = self._clock()
        ms = {**job.ms, **verdict.ms, "total": (self._last - job.arrived) * 1e3}
        if job.priority >= 0:
            self._pilot.answered(self._last, ms["total"], sum(verdict.ms.values()))
        seen = layout.notes(layout.of_verdict(verdict)) if verdict.boxes else ()
        self._finish(job, replace(verdict, ms=ms, notes=(*job.notes, *verdict.notes, *seen)))

    # Outcomes

    def _sweeping(self) -> None:
        while not self._stop.is_set():
            if not self._jobs:
                self._some.clear()
                if not self._jobs:
                    self._some.wait()
            with self._lock:
                jobs = list(self._jobs)
            now = self._clock()
            for job in jobs:
                if job.deadline <= now:
                    self._answer(job, cascade.verdict(job.state))
            self._stop.wait(SWEEP_S)

    def _close(self, job: Job) -> bool:
        """Whether it was open until now."""
        with self._lock:
            if job.finished:
                return False
            job.finished = True
            self._jobs.discard(job)
        for lane in self._lanes.values():
            lane.discard(job)
        for elsewhere in self._remote.values():
            elsewhere.discard(job)
        job.views, job.images = (), []
        return True

    def _finish(self, job: Job, outcome: Outcome) -> None:
        if self._close(job):
            self._answered += isinstance(outcome, Verdict)
            job.done(outcome)


def _shown(job: Job) -> Sequence[bytes]:
    """The views for a member elsewhere, as they came or smaller."""
    if job.share == 1:
        return job.views
    from models.imaging.encode import smaller

    return [smaller(image, job.share) for image in job.images]


def _measured(state: State, images: Sequence[Any], views: Sequence[bytes]) -> State:
    """With the difficulty of its pictures, where a deferral asks for it."""
    if state.plan.deferral is None:
        return state
    from models.imaging.measure import picture as measure

    measured = [measure(image, len(view)) for image, view in zip(images, views, strict=True)]
    return replace(state, scene=scene(measured))


def _side(tiers: Sequence[Tier]) -> int | None:
    """How small decoding may scale, in pixels of the shorter side: what the most demanding tier needs."""
    sides = [getattr(tier, "side", None) for tier in tiers]
    return None if None in sides else max(side for side in sides if side is not None)

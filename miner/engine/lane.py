"""One tier at work: a queue and the one thread that owns its device. Batches form at once when it is idle,
and fill up while it is busy."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from loguru import logger

from miner.engine.forecast import Arrivals, Learner
from miner.engine.queues import DeadlineQueue, Waiting
from models.core import Box, Evidence, Tier
from models.fusion.scene import together


class Asked(Protocol):
    """What a lane knows of whoever asks: it is compared by identity."""

    @property
    def number(self) -> int: ...
    @property
    def deadline(self) -> float: ...
    @property
    def priority(self) -> float: ...
    @property
    def solo(self) -> bool: ...
    @property
    def hotkey(self) -> str: ...


@dataclass(slots=True, eq=False)
class Task:
    """One request's prepared views in one lane; `put_at` and `began_at` in monotonic seconds."""

    job: Asked
    inputs: list[Any]
    put_at: float = 0.0
    began_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Running:
    """A batch on the device: since when (monotonic s) and how long it should take at most (s)."""

    since: float
    expected_s: float


class Speak(Protocol):
    """Gets what the tier says about a task, None when it cannot say anything. Called in the lane's thread."""

    def __call__(self, task: Task, evidence: Evidence | None) -> None: ...


class Lane:
    """`speak` hears every outcome; `mark` is told whose images are on the device ([] afterwards); `broken`
    is called, instead of `speak`, when even the picture that the tier judged at the start fails: the device
    is at fault. Without it the tier itself is: it is absent."""

    def __init__(
        self,
        tier: Tier,
        *,
        most: int,
        decoders: int,
        speak: Speak,
        mark: Callable[[Sequence[int]], None],
        broken: Callable[[str], None] | None,
        full: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tier = tier
        self.learner = Learner(most, decoders)
        self._arrivals = Arrivals()
        self._decoders = decoders
        self.running: Running | None = None
        self.batches: Counter[int] = Counter()
        self._speak = speak
        self._mark = mark
        self._broken = broken
        self._full = full
        self._clock = clock
        self._known_good: list[Any] = []
        self._queue: DeadlineQueue[Task] = DeadlineQueue(
            lambda images: self.learner.forecast().safe_cost(images)
        )
        self._solo: deque[Task] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"lane-{tier.name}", daemon=True)

    @property
    def shrinks(self) -> bool:
        """Whether the tier can do with less of a picture: its `prepare` then takes a `share` of the sides."""
        return bool(getattr(self.tier, "shrinks", False))

    def __len__(self) -> int:
        return len(self._queue) + len(self._solo)

    def prepare(self, images: Sequence[Any], boxes: Sequence[Box] = (), share: float = 1.0) -> list[Any]:
        """Model inputs of a request's decoded views: one for each, or one for all if the tier is joint.

        A guided tier also gets, with each view, the boxes that earlier tiers saw in it."""
        prepare: Callable[..., Any] = self.tier.prepare
        if share < 1:
            prepare = partial(prepare, share=share)
        if getattr(self.tier, "guided", False):
            found = [[box for box in boxes if box.view == n] for n in range(len(images))]
            inputs = [prepare(image, seen) for image, seen in zip(images, found, strict=True)]
        else:
            inputs = [prepare(image) for image in images]
        return [tuple(inputs)] if getattr(self.tier, "joint", False) else inputs

    def in_time(self, deadline: float) -> bool:
        """Whether one more could be judged by then, as far as one can tell."""
        return self._clock() + self.learner.forecast().backlog(len(self) + 1) <= deadline

    def warm_up(self, pictures: Sequence[Any], budget_s: float) -> list[Evidence]:
        """What the tier says of decoded pictures, asked in batches of 1, 2, 4, ...; then of larger ones while
        the budget lasts. Loads kernels, teaches the learner.

        Raises whatever the tier raises, and ValueError when its evidence is not sound.
        """
        inputs = [each for picture in pictures for each in self.prepare([picture])]
        self._known_good = inputs[:1]
        end = self._clock() + budget_s
        self._ask(self._known_good)
        said: list[Evidence] = []
        self._measure(inputs, end, said)
        return said

    def _measure(self, inputs: Sequence[Any], end: float, said: list[Evidence]) -> None:
        """`said` gets what is said of each of the `inputs`, once."""
        images = 1
        while images <= self.learner.most or len(said) < len(inputs):
            size = min(images, self.learner.most)
            if len(said) < len(inputs):
                size = min(size, len(inputs) - len(said))
            batch = [inputs[n % len(inputs)] for n in range(len(said), len(said) + size)]
            if size > 1 and self._clock() + 2 * self.learner.forecast().cost(size) <= end:
                self._ask(batch)  # the first batch of a size takes memory that is new, which is no measure
            start = self._clock()
            heard = self._ask(batch)
            taken = self._clock() - start
            self.learner.judged(size, taken)
            said += heard[: len(inputs) - len(said)]
            images *= 2
            if len(said) == len(inputs) and self._clock() + 2 * taken > end:
                return

    def measure_again(self, budget_s: float = 0.25) -> None:
        """Forget how long judging takes and find out anew, by the picture of `warm_up`."""
        self.learner = Learner(self.learner.most, self._decoders)
        self._measure(self._known_good, self._clock() + budget_s, [])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the batch that is running. What waits is forgotten."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()

    def put(self, job: Asked, inputs: list[Any]) -> None:
        task = Task(job, inputs, self._clock())
        with self._wake:
            if job.solo:
                self._solo.append(task)
            else:
                waiting = Waiting(
                    id(job), task, job.deadline, task.put_at, job.priority, len(inputs), job.hotkey
                )
                self._queue.put(waiting)
                self._arrivals.came(task.put_at, len(inputs))
            self._wake.notify()

    def discard(self, job: Asked) -> None:
        """Nobody waits for this answer any more. No effect when it is on the device already."""
        with self._wake:
            if self._queue.discard(id(job)) is None and self._solo:
                self._solo = deque(task for task in self._solo if task.job is not job)

    def _run(self) -> None:
        while batch := self._next():
            try:
                self._judge(batch)
            except Exception:  # noqa: BLE001 - the edge of a thread: it must outlive a bug met in one batch
                logger.exception("the lane of {} failed on a batch", self.tier.name)

    def _next(self) -> list[Task]:
        """The next batch, as soon as there is one; empty when stopping."""
        with self._wake:
            while not self._stopping:
                if self._solo:
                    return [self._solo.popleft()]
                now = self._clock()
                self._queue.expire(now)
                if batch := self._queue.take(self._batch(now), now):
                    return batch
                self._wake.wait()
            return []

    def _batch(self, now: float) -> int:
        """Most images of the next batch."""
        learner = self.learner
        if self._full():
            return learner.forecast().fullest(learner.most)
        return learner.size(self._arrivals.rate(now))

    def _judge(self, batch: Sequence[Task]) -> None:
        inputs = [each for task in batch for each in task.inputs]
        start = self._clock()
        self.running = Running(start, self.learner.forecast().safe_cost(len(inputs)))
        self._mark([task.job.number for task in batch])
        for task in batch:
            task.began_at = start
        try:
            said = self._ask(inputs)
        except Exception:  # noqa: BLE001 - whatever a model raises: the tier is absent for this batch, no more
            self._failed(batch)
            return
        finally:
            self.running = None
            self._mark([])
        taken = self._clock() - start
        self.learner.judged(len(inputs), taken)
        self.batches[len(inputs)] += 1
        self._deliver(batch, said, taken * 1e3 / len(inputs))

    def _ask(self, inputs: Sequence[Any]) -> list[Evidence]:
        said = self.tier.evidence(inputs)
        if len(said) != len(inputs) or not all(math.isfinite(each.log_odds) for each in said):
            raise ValueError(f"{self.tier.name} gave no finite evidence for each of {len(inputs)} images")
        return said

    def _deliver(self, batch: Sequence[Task], said: Sequence[Evidence], image_ms: float) -> None:
        at = 0
        for task in batch:
            views = said[at : at + len(task.inputs)]
            at += len(views)
            self._speak(task, replace(together(views), cost_ms=image_ms * len(views)))

    def _failed(self, batch: Sequence[Task]) -> None:
        """One item may be at fault: ask one by one, once. When a single one fails, is it the item or the
        device?"""
        if len(batch) > 1:
            logger.opt(exception=True).warning(
                "{} failed on {} requests: asking one by one", self.tier.name, len(batch)
            )
            for task in batch:
                self._judge([task])
            return
        logger.opt(exception=True).warning("{} cannot judge request {}", self.tier.name, batch[0].job.number)
        try:
            self._ask(self._known_good)
        except Exception as error:  # noqa: BLE001 - as above
            why = f"{self.tier.name}: {type(error).__name__}: {error}"
            if self._broken is not None:
                self._broken(why)
                return
            logger.error("a member cannot judge even the known picture, it is left out: {}", why)
        self._speak(batch[0], None)

"""The engine inside the miner's own process: for tests and for judging a folder; a crash of the model is
ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from loguru import logger

from miner.engine import tiers
from miner.engine.config import EngineConfig
from miner.engine.gate import Gate
from miner.engine.interface import EngineHealth, Unavailable
from miner.engine.judge import Judge, Outcome
from miner.engine.pilot import CourseState
from miner.engine.plan import planned
from miner.engine.proving import prove
from models.core import Request, Tier, Verdict


class ThreadEngine:
    """An `Engine`. `build` makes the tiers from the configuration's specs."""

    def __init__(
        self,
        config: EngineConfig,
        *,
        build: Callable[[tiers.Spec, str], Tier] = tiers.build,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._build = build
        self._clock = clock
        self._gate = Gate(config, clock)
        self._judge: Judge | None = None
        self._loading: asyncio.Task[None] | None = None
        self._open: set[asyncio.Future[Outcome]] = set()
        self._device = config.device
        self._broken = self._never = ""
        self._absent: dict[str, str] = {}
        self._stopped = False

    async def start(self) -> None:
        self._loading = asyncio.create_task(self._load())

    async def submit(self, request: Request) -> Verdict:
        """See `Engine.submit`. Cancelling it withdraws the question."""
        judge = self._judge
        if judge is None or self._broken or self._stopped:
            raise self._gate.closed("stopping" if self._stopped else "down" if self._broken else "starting")
        self._gate.enter(request, judge.progress().forecast)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        self._open.add(future)
        job = judge.submit(
            request,
            partial(_hand_over, loop, future),
            passed=lambda: _soon(loop, self._passed, request, future),
        )
        outcome: Outcome | None = None
        try:
            outcome = await future
        finally:
            self._open.discard(future)
            self._gate.leave(request, outcome)
            judge.cancel(job)
        if isinstance(outcome, Verdict):
            return outcome
        raise outcome

    async def trace(self, seconds: float, file: Path) -> list[tuple[str, float]]:
        """See `Engine.trace`."""
        from models.traced import trace

        try:
            return await asyncio.to_thread(trace, seconds, file)
        except OSError as error:
            raise ValueError(str(error)) from error

    def _passed(self, request: Request, future: asyncio.Future[Outcome]) -> None:
        if future in self._open:
            self._gate.passed(request)

    def health(self) -> EngineHealth:
        judge, gate = self._judge, self._gate
        progress = judge.progress() if judge else None
        course = progress.course if progress else CourseState()
        ages = [s for s in (gate.last_s, progress.last_s if progress else None) if s is not None]
        return EngineHealth(
            ready=judge is not None and not self._broken and not self._stopped,
            state=self._state(),
            device=self._device,
            detail=self._broken,
            versions=judge.versions if judge else {},
            queued=progress.queued if progress else 0,
            in_flight=len(self._open),
            answered=gate.answered,
            shed=gate.shed,
            failed=gate.failed,
            image_ms=progress.forecast.image_s * 1e3 if progress else 0.0,
            last_answer_age_s=self._clock() - max(ages) if ages else None,
            batch_sizes=progress.batch_sizes if progress else {},
            course=course.course,
            course_why=course.why,
            course_changes=course.changes,
            course_log=[list(each) for each in course.log],
            never=self._never,
            early_by=self._judge.early_by if self._judge else "",
            absent=dict(self._absent),
        )

    async def stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        if self._loading is not None:
            await self._loading
        if self._open:
            await asyncio.wait(list(self._open))
        if self._judge is not None:
            await asyncio.to_thread(self._judge.stop)

    def _state(self) -> str:
        if self._stopped:
            return "stopped"
        if self._broken:
            return "down"
        return "ready" if self._judge else "starting"

    async def _load(self) -> None:
        try:
            self._judge = await asyncio.to_thread(self._made, asyncio.get_running_loop())
        except Exception as error:  # noqa: BLE001 - whatever a checkpoint or a driver raises goes to the operator
            logger.exception("the tiers cannot be loaded")
            self._broken = f"{type(error).__name__}: {error}"

    def _told(self, why: str) -> None:
        self._never = why

    def _made(self, loop: asyncio.AbstractEventLoop) -> Judge:
        config = self._config
        loaded = tiers.build_all(config.cascade.tiers, config.device, self._build, self._absent.__setitem__)
        self._device = str(getattr(loaded[0], "device", "cpu"))
        judge = Judge(
            loaded,
            limits=config.limits,
            most=config.most,
            decoders=config.decoders,
            broken=partial(self._break, loop),
            plan=partial(planned, config.cascade, told=self._told),
            p95_ms=config.p95_ms,
            budget_ms=config.budget_ms,
        )
        prove(judge, known=config.golden)
        judge.start()
        return judge

    def _break(self, loop: asyncio.AbstractEventLoop, why: str) -> None:
        """In a lane's thread: nothing in this process can repair the device."""
        logger.error("the device is broken, this engine answers no more: {}", why)
        loop.call_soon_threadsafe(self._give_up, why)

    def _give_up(self, why: str) -> None:
        self._broken = why
        for future in list(self._open):
            _settle(future, Unavailable("down"))


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[..., None], *given: object) -> None:
    loop.call_soon_threadsafe(call, *given)


def _hand_over(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    _soon(loop, _settle, future, outcome)


def _settle(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)

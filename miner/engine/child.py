"""The engine in child processes: one that serves, one that stands by, and no request lost between them.

Everything here runs on the event loop. A request is written down in one table until it has its outcome;
children come and go underneath it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from loguru import logger

from miner.engine import frames
from miner.engine.config import EngineConfig
from miner.engine.failover import choose, hung, suspect
from miner.engine.gate import Gate
from miner.engine.interface import BadImage, EngineHealth, Refused, Unavailable
from miner.engine.pilot import CourseState
from miner.engine.process import COMMAND, Child
from miner.engine.seat import Seat
from miner.share import free_bytes
from models.core import Request, Verdict

TICK_S = 0.1
LATE_S = 1.0
"""A tick that comes this late says that the event loop, or the machine, stood still."""

GRACE_S = 0.2
"""How long past its deadline a request waits for a child that seems well: the outcome may be on its way."""

STRIKES = 2
"""So many children may die with a request in their hands before nobody asks it again."""

LOAD_S = 300.0
"""A child that is not ready by then is given up."""

SPARE_BYTES = 512 * 2**20
MEMORY_CHECK_S = 30.0
TRACE_S = 20.0
"""For a child to write down what a trace has seen."""


@dataclass(slots=True, eq=False)
class Pending:
    """One request without an outcome. `held_by` the children that were asked; `strikes` how many died on
    it."""

    number: int
    request: Request
    future: asyncio.Future[Verdict]
    held_by: list[Child] = field(default_factory=list)
    strikes: int = 0


class ChildEngine:
    """An `Engine`. `command` starts a child (tests bring tiers of their own that way), `standby` the one that
    stands by, if it is another kind; `leave_s` seconds that a child may take to end; `memory` says how many
    bytes are free, None when the system does not tell."""

    def __init__(
        self,
        config: EngineConfig,
        *,
        command: Sequence[str] = COMMAND,
        standby: Sequence[str] | None = None,
        leave_s: float = 0.0,
        memory: Callable[[], int | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._leave_s = leave_s
        self._memory = memory or free_bytes
        self._clock = clock
        self._seats = [Seat("main", config, command)]
        if config.standby:
            waits, beside = "waits for the main child", replace(config.on("cpu"), gentle=True)
            self._seats.append(Seat("standby", beside, standby or command, detail=waits))
        self._serving: Seat | None = None
        self._table: dict[int, Pending] = {}
        self._traces: dict[int, asyncio.Future[frames.Header]] = {}
        self._gate = Gate(config, clock)
        self._numbers = itertools.count(1)
        self._tasks: list[asyncio.Task[None]] = []
        self._settled = asyncio.Event()
        self._was_ready = False
        self._stopping = False

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._keep(seat), name=f"engine-{seat.name}") for seat in self._seats
        ]
        self._tasks.append(asyncio.create_task(self._watch(), name="engine-watch"))

    async def submit(self, request: Request) -> Verdict:
        """See `Engine.submit`. Cancelling it withdraws the question."""
        if self._stopping:
            raise self._gate.closed("stopping")
        if self._serving is None:
            raise self._gate.closed("down" if self._was_ready else "starting")
        pending = self._admit(request, self._serving)
        self._send(pending, self._serving)
        try:
            return await pending.future
        except asyncio.CancelledError:
            self._withdraw(pending)
            raise

    async def trace(self, seconds: float, file: Path) -> list[tuple[str, float]]:
        """See `Engine.trace`."""
        child = self._serving.child if self._serving else None
        if child is None or child.device == "ray":
            raise ValueError(
                "no process of this host judges now" if child is None else "replicas judge elsewhere"
            )
        number, future = next(self._numbers), asyncio.get_running_loop().create_future()
        self._traces[number] = future
        try:
            asked = {"kind": "trace", "number": number, "seconds": seconds, "file": str(file)}
            child.send(frames.pack(asked))
            async with asyncio.timeout(seconds + TRACE_S):
                told = await future
        except TimeoutError:
            raise ValueError("the process that judges did not say how it went") from None
        finally:
            del self._traces[number]
        if told["failed"]:
            raise ValueError(told["failed"])
        return [(str(name), float(share)) for name, share in told["top"]]

    def health(self) -> EngineHealth:
        serving, main = self._serving, self._seats[0]
        child = serving.child if serving else None
        beat = child.beat if child else {}
        age = [s for s in (self._gate.last_s, beat.get("last_s")) if s is not None]
        course = CourseState(**beat.get("course", {}))
        state, detail = self._state()
        return EngineHealth(
            ready=child is not None and not self._stopping,
            state=state,
            device=child.device if child else main.config.device,
            detail=detail,
            versions=dict(child.versions) if child else {},
            queued=beat.get("queued", 0),
            in_flight=len(self._table),
            restarts=sum(seat.restarts for seat in self._seats),
            answered=self._gate.answered,
            shed=self._gate.shed,
            failed=self._gate.failed,
            image_ms=child.forecast.image_s * 1e3 if child else 0.0,
            last_answer_age_s=self._clock() - max(age) if age else None,
            pid=child.pid if child else None,
            course=course.course,
            course_why=course.why,
            course_changes=course.changes,
            course_log=[list(each) for each in course.log],
            never=child.never if child else "",
            early_by=child.early_by if child else "",
            absent=dict(child.absent) if child else {},
            moments=dict(child.moments) if child else {},
            batch_sizes={int(size): count for size, count in beat.get("batch_sizes", {}).items()},
            seats=[seat.row(seat is serving) for seat in self._seats],
            replicas=beat.get("replicas"),
        )

    async def stop(self) -> None:
        if self._stopping:
            return
        self._stopping = True
        if self._table:
            latest = max(pending.request.deadline for pending in self._table.values()) + 2 * GRACE_S
            with suppress(TimeoutError):
                await asyncio.wait_for(self._settled.wait(), max(0.0, latest - self._clock()))
        for pending in list(self._table.values()):
            self._settle(pending, Unavailable("stopped"))
        for seat in self._seats:
            if seat.child is not None:
                seat.child.close()
        seats = zip(self._seats, self._tasks, strict=False)
        lives = [task for seat, task in seats if seat.child is not None and seat.child.ready]
        if lives and self._leave_s:
            await asyncio.wait(lives, timeout=self._leave_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _state(self) -> tuple[str, str]:
        main, standby = self._seats[0], self._seats[-1]
        if self._stopping:
            return "stopped", ""
        if self._serving is None:
            broken = [seat.detail for seat in self._seats if seat.detail and seat.spawned]
            return ("down" if self._was_ready or main.breaker.young else "starting"), "; ".join(broken)
        if not main.usable:
            return "degraded", f"main: {main.detail or 'starting again'}"
        return "ready", f"standby: {standby.detail}" if standby is not main and standby.detail else ""

    # Admission and outcomes

    def _admit(self, request: Request, seat: Seat) -> Pending:
        """Write it down, or raise Shed."""
        assert seat.child is not None
        self._gate.enter(request, seat.child.forecast)
        pending = Pending(next(self._numbers), request, asyncio.get_running_loop().create_future())
        self._table[pending.number] = pending
        return pending

    def _settle(self, pending: Pending, outcome: Verdict | Refused) -> None:
        """The one end of every request that was admitted and not withdrawn."""
        if not self._forget(pending, outcome):
            return
        if pending.strikes:
            asyncio.get_running_loop().call_soon(self._elect)  # the next suspect's turn
        if pending.future.done():
            return
        if isinstance(outcome, Verdict):
            pending.future.set_result(outcome)
        else:
            pending.future.set_exception(outcome)

    def _forget(self, pending: Pending, outcome: Verdict | Refused | None) -> bool:
        """Whether it was still open."""
        if self._table.pop(pending.number, None) is None:
            return False
        self._gate.leave(pending.request, outcome)
        if self._stopping and not self._table:
            self._settled.set()
        return True

    def _withdraw(self, pending: Pending) -> None:
        if self._forget(pending, None):
            for child in pending.held_by:
                child.send(frames.pack({"kind": "cancel", "number": pending.number}))

    # Between the children

    def _send(self, pending: Pending, seat: Seat) -> None:
        assert seat.child is not None
        pending.held_by.append(seat.child)
        seat.child.send(frames.ask(pending.number, pending.request, solo=pending.strikes > 0))

    def _heard(self, child: Child, header: frames.Header) -> None:
        if header["kind"] in ("verdict", "refused"):
            if pending := self._table.get(header["number"]):
                self._settle(pending, frames.result(header))
            return
        if header["kind"] == "passed":
            if pending := self._table.get(header["number"]):
                self._gate.passed(pending.request)
            return
        if header["kind"] == "traced":
            if (told := self._traces.get(header["number"])) and not told.done():
                told.set_result(header)
            return
        if header["kind"] == "ready":
            logger.info("engine child {} is ready on {}: {}", child.pid, child.device, child.versions)
            self._was_ready = True
            self._elect()

    def _elect(self) -> None:
        """Choose who serves, and ask it whatever no sound child has in its hands."""
        chosen = choose(self._seats, self._serving)
        if chosen is not self._serving:
            logger.info("the {} child serves now", chosen.name if chosen else "(no)")
        self._serving = chosen
        if chosen is None:
            return
        sound = {seat.child for seat in self._seats if seat.usable}
        for pending in self._table.values():
            if sound.isdisjoint(pending.held_by) and self._may_go(pending, chosen):
                self._send(pending, chosen)

    def _may_go(self, pending: Pending, seat: Seat) -> bool:
        """Suspects go one at a time: of two in one child, the innocent is struck for the other's deed."""
        return not pending.strikes or not any(
            other.strikes and seat.child in other.held_by for other in self._table.values()
        )

    def _died(self, child: Child) -> None:
        """Whoever it had in its hands gets a strike, and goes on alone, or not at all; the others are asked
        elsewhere."""
        suspects = child.box.read()
        for pending in list(self._table.values()):
            if child not in pending.held_by:
                continue
            pending.held_by.remove(child)
            if pending.number in suspects:
                pending.strikes += 1
                if pending.strikes >= STRIKES:
                    logger.error(
                        "request {} has killed {} children: not asked again", pending.request.id, STRIKES
                    )
                    self._settle(pending, BadImage("poison"))
        self._elect()

    # One seat's life

    async def _keep(self, seat: Seat) -> None:
        """Spawn, wait for the end, wait a little longer each time; for ever."""
        await self._turn(seat)
        while not self._stopping:
            lived = await self._live(seat)
            if self._stopping:
                return
            delay = seat.breaker.refused() if lived is None else seat.breaker.died(lived)
            if seat.breaker.open:
                logger.error("{} engine child: crash loop, next try in {:.0f} s", seat.name, delay)
                seat.detail = f"crash loop: {seat.detail}"
            await asyncio.sleep(delay)

    async def _turn(self, seat: Seat) -> None:
        """The standby comes after the main child, and only where there is room for it. A cluster takes a
        while and needs nothing here: then the standby begins at once, unless this engine is on trial
        (`gentle`), which its standby must not pass for it."""
        main = self._seats[0]
        if seat is main:
            return
        at_once = main.config.cluster and not main.config.gentle
        while not (at_once or (main.child and main.child.ready) or main.breaker.young):
            await asyncio.sleep(TICK_S)
        while not self._room(main):
            seat.detail = "not enough free memory"
            await asyncio.sleep(MEMORY_CHECK_S)

    def _room(self, main: Seat) -> bool:
        free = self._memory()
        used = main.child.beat.get("rss", 0) if main.child else 0
        return free is None or free > 1.5 * used + SPARE_BYTES

    async def _live(self, seat: Seat) -> float | None:
        """One child from the cradle to the grave; seconds it was alive. None: no process can be made."""
        started = self._clock()
        gentle = seat.config.gentle and not seat.spawned
        seat.spawned += 1
        seat.suspected = False
        try:
            child = Child(replace(seat.config, gentle=gentle), self._heard, self._died, self._clock)
            await child.start(seat.command)
        except OSError as error:  # no memory, no process, no descriptor is left
            if seat.detail != str(error):
                logger.error("no engine child can be started, trying on: {}", error)
            seat.detail = str(error)
            return None
        seat.child, seat.detail = child, f"loading again: {seat.detail}" if seat.breaker.young else "loading"
        try:
            code = await self._until_end(seat, child)
        finally:
            seat.child = None
        seat.detail = child.failed or f"ended with {code}"
        if not self._stopping:
            logger.warning("{} engine child {} is gone: {}", seat.name, child.pid, seat.detail)
        return self._clock() - started

    async def _until_end(self, seat: Seat, child: Child) -> int:
        life = asyncio.create_task(child.live())
        try:
            return await asyncio.shield(life)
        finally:
            child.kill()
            await life

    async def _watch(self) -> None:
        last = self._clock()
        while True:
            await asyncio.sleep(TICK_S)
            now = self._clock()
            self._tick(now, asleep=now - last > LATE_S)
            last = now

    def _tick(self, now: float, asleep: bool) -> None:
        """Look after the children and the deadlines. `asleep`: we were held up, so nobody else is to blame
        for silence."""
        for seat in self._seats:
            if seat.child is not None and asleep:
                seat.child.heard_s = now
            self._look_after(seat, now)
        self._elect()
        for pending in list(self._table.values()):
            if pending.request.deadline + GRACE_S <= now:
                self._settle(pending, Unavailable("deadline"))

    def _look_after(self, seat: Seat, now: float) -> None:
        child = seat.child
        if child is None or child.dead:
            return
        if not child.ready:
            why = f"not ready after {LOAD_S:.0f} s" if now - child.started_s > LOAD_S else None
        else:
            seat.detail = ""
            seat.suspected = suspect(child, now, seat.config.heartbeat_s)
            why = hung(child, now, seat.config.hang_s)
        if why:
            logger.error("{} engine child {} hangs, it is killed: {}", seat.name, child.pid, why)
            child.failed = child.failed or why
            child.kill()

"""Builds the miner from its parts, starts them in order, stops them in reverse."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from loguru import logger

from miner import ledger as books
from miner.alarms import AlarmRow, Alarms
from miner.alerts import AlertSender
from miner.board import Board
from miner.capture import labelled, picture
from miner.capture.create import create_capture
from miner.chain.client import create_chain
from miner.chain.scorers import Rows
from miner.chain.snapshot import Snapshot
from miner.chain.subnet_health import assess
from miner.chain.watch import ChainWatch
from miner.collector import tidy
from miner.control import SOCKET_NAME, Command
from miner.control_server import ControlServer
from miner.disk import MB, Disk
from miner.doctor.examine import here
from miner.engine import chosen, compressing, create_engine
from miner.engine.backends import impossible, on_backend
from miner.engine.interface import Engine
from miner.engine.pilot import held_ms
from miner.engine.ray import unreachable
from miner.hotkeys import hotkey_row
from miner.jobs.declared import DAY, Parts, declared
from miner.jobs.service import JobService, create_jobs
from miner.learning.create import (
    create_certifier,
    create_learner,
    kinds_of,
    remembering,
    with_certificate,
)
from miner.learning.guesses import Guesser
from miner.learning.learner import Learner
from miner.ledger import LEDGER_NAME, Ledger, LedgerUnreadable
from miner.moments import READY, Moments
from miner.page import PageServer, create_page
from miner.page.api import create_api
from miner.page.api.door import admit_near
from miner.page.desk import create_desk
from miner.page.histories import history_commands
from miner.place import Place, Shared
from miner.recorder import Recorder, Sink
from miner.registry import MODELS, Registry
from miner.review.desk import Desk
from miner.review.sent import SentLabels, believed
from miner.rewards.diary import NAME as DIARY_NAME
from miner.rewards.diary import Diary, DiarySink
from miner.rewards.keeper import RewardKeeper
from miner.rewards.onchain import Payout
from miner.rewards.several import Several
from miner.rewards.tables import Tables
from miner.servers import create_servers, server_metrics
from miner.settings import Settings, SettingsError, version
from miner.status import HotkeyRow, Status, Tally, payout_row
from miner.swap.cascades import Holder, in_service
from miner.swap.engine import SwappingEngine
from miner.swap.service import SwapService, create_service
from miner.telemetry import (
    Metrics,
    Nvml,
    RequestLog,
    capture_metrics,
    chain_metrics,
    disk_metrics,
    engine_metrics,
    gpu_metrics,
    hotkey_metrics,
    job_metrics,
    recorder_metrics,
    reward_metrics,
)
from miner.telemetry.profile import Profiler
from miner.telemetry.traces import create_traces
from miner.watchdog import feed
from models.description import Description
from models.imaging.header import Limits

T = TypeVar("T")
EXIT_DEREGISTERED = 3
"""The hotkey is not registered, and `subtensor.deregistered` is "exit"."""
DRAIN_S = 9.0
"""How long a stopping miner goes on answering what it has admitted: the validators' own patience."""
REQUEST_LOG_NAME = "challenges.jsonl"
SERVERS_NAME = "servers"


async def run(settings: Settings, *keypairs: Any) -> int:
    """Serve with the given hotkeys until told to stop; the process's exit status."""
    moments = Moments()
    moments.reached("imports")
    stop: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    _stop_on_signals(stop)
    async with AsyncExitStack() as stack:
        commands: dict[str, Command] = {}
        control = ControlServer(settings.data.path / SOCKET_NAME, commands)
        stack.push_async_callback(control.stop)
        with _usable(settings.data.path):
            control.hold()  # only then may anything in the data folder be opened
        await _preflight(settings)
        why = impossible(settings.engine.backend, settings.neuron.image_detector_device)
        if why := why or await asyncio.to_thread(unreachable, settings.engine.mode):
            raise SettingsError(why)
        miner = Miner(settings, *keypairs, moments=moments)
        moments.reached("parts")
        commands |= miner.commands
        with _usable(settings.data.path):
            await control.start()
        await miner.start(stack, _once(stop))
        status = await stop
        logger.info("stopping: answering what was admitted, at most {:.0f} s", DRAIN_S)
    logger.info("stopped")
    return status


class Miner:
    """The parts of a miner and how they are joined. Built whole, then started.

    Several hotkeys are served each at a place of its own, by one engine, from one ledger. Status and page
    show where each stands; their details are about the first.
    """

    def __init__(self, settings: Settings, *keypairs: Any, moments: Moments | None = None) -> None:
        self.moments = moments or Moments()
        data, hotkey = settings.data.path, keypairs[0].ss58_address
        self.settings, self.hotkey = settings, hotkey
        self.metrics = Metrics()
        self.ledger = Ledger(data / LEDGER_NAME, hotkey=hotkey, days=settings.data.ledger_days)
        self.diary = Diary(data / DIARY_NAME)
        self.alerts = AlertSender(settings.alerts, hotkey)
        self.alarms = Alarms(self._rung)
        self.disk = Disk(data, settings.data.min_free_mb * MB)
        self.tally = Tally(_earlier(lambda: books.recent(self.ledger.path, hotkey=hotkey)))
        log = RequestLog(data / REQUEST_LOG_NAME if settings.logging.json_file else None)
        sent = SentLabels(self.ledger, believed=believed(settings))
        sinks: list[Sink] = [self.metrics, self.tally, log, DiarySink(self.diary), sent, self.ledger]
        self.traces = create_traces(settings.tracing, version())
        self.recorder = Recorder([*sinks, self.traces] if self.traces else sinks)
        self.capture = create_capture(settings, self.ledger, self.disk, self.ledger.event)
        self.desk = Desk(self.ledger, reviewers=settings.review.reviewers)
        self.registry = Registry(data / MODELS)
        self.servers = create_servers(
            settings.servers.file, str(settings.servers.python), data / SERVERS_NAME
        )
        self.engine, base = _engine(settings, self.registry, self.servers.holders)
        self.swaps = self._swaps(base)
        self.chain = create_chain(settings.subtensor, settings.netuid, data)
        self.watch = ChainWatch(self.chain, hotkey, settings.subtensor)
        self.places = self._places(keypairs)
        self.tables = Tables(self.chain)
        self.rewards = self._keeper(self.alarms)
        self.others = [self._of_another(place.hotkey) for place in self.places[1:]]
        self.jobs = self._jobs()
        self.board = self._board()
        self.commands = self._commands()

    def _commands(self) -> dict[str, Command]:
        """What the control socket and the page may ask for."""
        return {
            "status": self.status,
            "hotkeys": self.hotkeys,
            "profile": Profiler(self.settings.data.path, self.engine.trace).profile,
            **self.servers.commands,
            **self.swaps.commands,
            **self.jobs.commands,
            **self.capture.commands,
            **self.desk.commands,
            **history_commands(self.ledger.path, self.hotkey, lambda: self.rewards.rows),
        }

    def _rung(self, kind: str, alarm: Mapping[str, Any], hotkey: str = "") -> None:
        self.ledger.event(kind, alarm, hotkey)
        self.diary.write(f"alarm {alarm['state']}: {alarm['text']}")
        self.alerts.send(alarm, hotkey)

    def _keeper(self, alarms: Alarms, hotkey: str = "") -> RewardKeeper:
        shared = (self.tables, self.watch, self.ledger, alarms, self.settings.rewards, self.diary)
        return RewardKeeper(*shared, hotkey=hotkey, first=not hotkey)

    def _of_another(self, hotkey: str) -> tuple[RewardKeeper, Alarms]:
        """Rewards and alarms of a hotkey beside the first."""
        alarms = Alarms(partial(self._rung, hotkey=hotkey))
        return self._keeper(alarms, hotkey), alarms

    def _ringing(self) -> list[AlarmRow]:
        return [row for alarms in (self.alarms, *(each for _, each in self.others)) for row in alarms.rows()]

    def _jobs(self) -> JobService:
        section, refresh_s = self.settings.jobs, self.settings.subtensor.refresh_s
        parts = Parts(
            *(self.settings, self.ledger, self.alarms, self.disk, self.registry),
            Several([self.rewards, *(keeper for keeper, _ in self.others)]),
            poll_models=self.swaps.poll,
            learner=self._learner(),
            guesser=Guesser(
                self.ledger, lambda: kinds_of(self.engine.described), reviewers=self.settings.review.reviewers
            ),
            certifier=create_certifier(
                *(self.settings, self.ledger),
                now=lambda: (self.engine.described, self.engine.health().never),
                taught=self.registry.taught,
                adopt=self.swaps.adopt,
            ),
            expire_captures=self.capture.keeper.expire,
        )
        return create_jobs(
            *(declared(parts), self.ledger, self.alarms, self.watch),
            refresh_s=refresh_s,
            speed=DAY / section.day_s,
        )

    def _learner(self) -> Learner:
        def drifting(on: bool) -> None:
            self.capture.drifting = on

        return create_learner(
            *(self.settings, self.ledger, self.alarms),
            now=lambda: (self.engine.described, self.engine.health().versions),
            offer=self.swaps.offer,
            drifting=drifting,
        )

    def _swaps(self, base: Description) -> SwapService:
        return create_service(
            *(self.engine, self.registry, base, self.settings.registry),
            within_s=self.settings.wire.answer_within_s,
            pictures=partial(
                labelled, self.settings.data.path, reviewers=self.settings.review.reviewers, guesses=False
            ),
            note=self.ledger.event,
            holders=self.servers.holders,
        )

    def _places(self, keypairs: Sequence[Any]) -> list[Place]:
        shared = Shared(
            *(self.settings, self.chain, self.engine),
            record=self.recorder.record,
            refused=self.metrics.refused,
            keep=self.capture.offer,
        )
        axon = self.settings.axon
        return [Place(keypair, axon.of(number), shared) for number, keypair in enumerate(keypairs)]

    def _board(self) -> Board:
        rows = _earlier(lambda: books.payouts(self.ledger.path, hotkey=self.hotkey))
        paid = sorted((payout_row(row) for row in rows), key=lambda row: row["at_s"])
        opened = time.monotonic() + self.settings.wire.max_ahead_s  # its places are a moment older
        board = Board(
            *(self.settings, self.watch, self.engine, self.recorder, self.tally, self.metrics, paid),
            servers=self.servers.health,
            alarms=self._ringing,
            validators=lambda: self.rewards.rows,
            hotkeys=self._hotkeys,
            opens=lambda: opened - time.monotonic(),
        )
        self.metrics.add(server_metrics(self.servers.health))
        self.metrics.add(engine_metrics(self.engine.health))
        self.metrics.add(capture_metrics(self.capture.figures))
        self.metrics.add(chain_metrics(board.chain, board.subnet_status, board.reward))
        self.metrics.add(hotkey_metrics(self._hotkeys))
        self.metrics.add(reward_metrics(lambda: self.rewards.rows, self._ringing))
        self.metrics.add(job_metrics(self.jobs.rows))
        self.metrics.add(disk_metrics(self.ledger.path, self.disk.look))
        self.metrics.add(gpu_metrics(Nvml()))
        self.metrics.add(
            recorder_metrics(self.recorder.health, lambda: (self.ledger.backlog, self.ledger.lost))
        )
        return board

    async def start(self, stack: AsyncExitStack, finish: Callable[[int], None]) -> None:
        """Start every part; `stack` stops them in reverse. `finish` ends the miner with an exit status."""
        stack.callback(self._close_books)
        self.recorder.start()
        stack.callback(self.capture.stop)
        self.capture.start()
        self.ledger.event("start", {"port": self.settings.axon.port})
        stack.push_async_callback(self.servers.stop)
        await self.servers.start()
        stack.push_async_callback(self.engine.stop)
        await self.engine.start()
        stack.push_async_callback(self.swaps.stop)
        stack.push_async_callback(self._leave)
        for place in self.places:
            await place.server.start()
        await self._start_page(stack)
        self._subscribe(finish)
        stack.push_async_callback(self.chain.close)
        works = (self.watch.run(), self._announce(), self._watch_subnet(), feed(self.engine.health))
        for work in (*works, self.swaps.run(), self.jobs.run(), self.alerts.run(), tidy()):
            _in_background(stack, work, finish)
        self.moments.reached("listening")
        for place in self.places:
            logger.info("listening to validators on port {} as {}", place.server.port, place.hotkey)

    async def _leave(self) -> None:
        """All places at once: each answers what it has admitted."""
        await asyncio.gather(*(place.server.stop(DRAIN_S) for place in self.places))

    async def _start_page(self, stack: AsyncExitStack) -> None:
        if not self.settings.page.enabled:
            return
        section = self.settings.page
        app = create_page(
            *(self.board.status, self.metrics.text, self.board.reasons, section.allowed_hosts),
            more=[
                *create_api(self.engine, section, self.settings.wire, self.metrics.operator),
                *create_desk(self.commands, partial(picture, self.settings.data.path), section.token),
            ],
            admit=partial(admit_near, token=section.token),
            members=self.board.members,
        )
        page = PageServer(app, section)
        stack.push_async_callback(page.stop)
        await page.start()
        self.board.url = page.url
        logger.info("status page: {}", page.url)

    async def status(self) -> Status:
        """The control socket's `status`."""
        return self.board.status()

    async def hotkeys(self) -> list[HotkeyRow]:
        """The control socket's `hotkeys`: where each of ours stands."""
        return self._hotkeys()

    def _hotkeys(self) -> list[HotkeyRow]:
        snapshot, keepers = self.watch.snapshot, [self.rewards, *(keeper for keeper, _ in self.others)]
        return [
            hotkey_row(place.row(snapshot), snapshot, keeper.rows, self.tally.asked(place.hotkey))
            for place, keeper in zip(self.places, keepers, strict=True)
        ]

    def _subscribe(self, finish: Callable[[int], None]) -> None:
        for place in self.places:
            self.watch.on_snapshot(place.admission.update)
        for place in self.places[1:]:
            self.watch.on_snapshot(partial(place.pay, paid=self.ledger.payout))
        self.watch.on_payout(self._paid)
        self.watch.on_event(self.ledger.event)
        if self.settings.subtensor.deregistered == "exit":
            hotkeys = [place.hotkey for place in self.places]
            self.watch.on_snapshot(partial(exit_if_deregistered, hotkeys=hotkeys, finish=finish))

    def _paid(self, row: Payout) -> None:
        self.ledger.payout(row)
        self.board.paid(row)
        logger.info(
            "reward: epoch at block {}: {:.6f} alpha ({:.6f} TAO), incentive {:.4f}, rank {}, {}",
            *(row.block, row.alpha, row.tao, row.incentive, row.rank),
            "safe from pruning" if row.position is None else f"pruned after {row.position} registrations",
        )

    async def _announce(self) -> None:
        """Publish the address once a model answers: validators should not be sent to a miner that cannot."""
        while not self.engine.health().ready:
            await asyncio.sleep(0.1)
        self.moments.reached(READY)
        health = self.engine.health()
        seconds = self.moments.seconds(health.moments)
        self.ledger.event("ready", {"versions": health.versions, "seconds": seconds})
        logger.info("start: {}", ", ".join(f"{stage} {at:.1f} s" for stage, at in seconds.items()))
        logger.info("ready: {}", ", ".join(f"{k} {v}" for k, v in self.engine.health().versions.items()))
        await asyncio.gather(*(place.announcer.run(self.watch) for place in self.places))

    async def _watch_subnet(self) -> None:
        """Judge the subnet at every snapshot, and say it loudly when the judgement changes."""
        snapshot = await self.watch.first()
        self.moments.reached("chain")
        while True:
            if unread := await self.tables.read(snapshot):
                logger.warning(unread)
            self._judge_subnet(snapshot, self.tables.weights)
            snapshot = await self.watch.following()

    def _judge_subnet(self, snapshot: Snapshot, weights: Rows | None) -> None:
        was, health = self.board.subnet, assess(snapshot, weights)
        self.board.subnet = health
        if was is None or was.level != health.level:
            level = {"ok": "INFO", "warn": "WARNING"}.get(health.level, "ERROR")
            logger.log(level, "subnet {}: {}", self.settings.netuid, health.sentence)
            self.ledger.subnet_health(asdict(health))

    def _close_books(self) -> None:
        self.ledger.event("stop")
        self.recorder.stop()
        if self.traces is not None:
            self.traces.close()
        with suppress(OSError):
            self.ledger.close()


async def _preflight(settings: Settings) -> None:
    """What `doctor` sees of this host; it stops nothing, since an operator may know better."""
    for found in await here(settings):
        if found.level != "ok":
            level = "ERROR" if found.level == "fail" else "WARNING"
            logger.log(level, "doctor: {}: {} {}", found.check, found.reason, found.remedy)


@contextmanager
def _usable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SettingsError(f"data.path {folder} cannot be used: {error.strerror or error}") from error


def _engine(
    settings: Settings, registry: Registry, holders: Mapping[str, Holder]
) -> tuple[SwappingEngine, Description]:
    """The engine, with the registry's champions in it, and the cascade that the settings themselves name."""
    limits = Limits(bytes=settings.wire.image_bytes, pixels=settings.wire.pixels)
    device = settings.neuron.image_detector_device
    cascade = settings.cascade

    def make(described: Description, *, gentle: bool) -> Engine:
        return create_engine(
            *(settings.engine, settings.model, device, limits),
            p95_ms=held_ms(cascade.p95_ms, settings.wire.answer_within_s),
            budget_ms=cascade.budget_ms,
            described=on_backend(described, settings.engine.backend, settings.data.path, later=not gentle),
            gentle=gentle,
            golden=not gentle,
        )

    base = compressing(chosen(cascade.path, settings.model), cascade.compress)
    base = with_certificate(remembering(base, settings), settings.data.path)
    return SwappingEngine(make, in_service(base, registry, holders)), base


def _earlier(read: Callable[[], list[T]]) -> list[T]:
    """What the ledger holds of earlier runs; nothing when its disk is bad, which must not keep us down."""
    try:
        return read()
    except LedgerUnreadable as error:
        logger.error("earlier rows are not shown: {}", error)
        return []


def exit_if_deregistered(snapshot: Snapshot, hotkeys: Sequence[str], finish: Callable[[int], None]) -> None:
    """One of several hotkeys that is still registered is worth going on for."""
    if snapshot.by_hotkey.keys().isdisjoint(hotkeys):
        logger.error("exiting with status {}: subtensor.deregistered is exit", EXIT_DEREGISTERED)
        finish(EXIT_DEREGISTERED)


def _once(stop: asyncio.Future[int]) -> Callable[[int], None]:
    def finish(status: int) -> None:
        if not stop.done():
            stop.set_result(status)

    return finish


def _stop_on_signals(stop: asyncio.Future[int]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, _once(stop), 0)


def _in_background(
    stack: AsyncExitStack, work: Coroutine[Any, Any, None], finish: Callable[[int], None]
) -> None:
    """Run `work` until the stack unwinds. One that fails ends the miner: systemd restarts it whole."""
    task = asyncio.create_task(work)

    def ended(done: asyncio.Task[None]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            logger.opt(exception=error).critical("a part of the miner failed; stopping")
            finish(1)

    async def cancel() -> None:
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task

    task.add_done_callback(ended)
    stack.push_async_callback(cancel)

"""Puts every scene to the engine, many at a time so that its batches are full."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Sequence

from miner.classify.scenes import Row, Scene, Unjudged, read
from miner.engine import create_engine
from miner.engine.interface import BadImage, Engine, EngineHealth, Shed, Unavailable
from miner.settings import Settings
from models.core import MAX_VIEWS, Request, Verdict
from models.imaging.header import Limits

LIMITS = Limits(bytes=16 * 2**20, pixels=64_000_000)
"""One's own pictures may be larger than what a stranger may send."""

DEADLINE_S = 150.0
"""For one scene. A folder has no deadline; this is for a model that has stopped answering."""

PATIENCE_S = 90.0
"""How long a dead engine is waited for: a child that crashed is replaced within seconds, one in a crash loop
within a minute."""

AGAIN_S = 0.05


class EngineDown(Exception):
    """No model could be loaded; the message says why."""


def limits_of(settings: Settings) -> Limits:
    wire = settings.wire
    return Limits(max(wire.image_bytes, LIMITS.bytes), max(wire.pixels, LIMITS.pixels))


def engine_of(settings: Settings) -> Engine:
    """The daemon's engine without what a daemon needs: no answers remembered, nobody standing by, no
    cluster."""
    room = 2 * MAX_VIEWS * _abreast(settings)
    mode = "thread" if settings.engine.mode == "thread" else "child"
    section = settings.engine.model_copy(
        update={"mode": mode, "cache_s": 0.0, "standby": False, "queue": max(settings.engine.queue, room)}
    )
    device = settings.neuron.image_detector_device
    return create_engine(section, settings.model, device, limits_of(settings), cascade=settings.cascade.path)


async def judge(
    scenes: Sequence[Scene],
    settings: Settings,
    engine: Engine,
    heard: Callable[[int, Row], None],
    asking: Callable[[], None] = lambda: None,
) -> EngineHealth:
    """`heard` gets every scene's number and row, in the order they finish; `asking` is called once a model is
    ready. The engine's last health comes back. Raises EngineDown when there never was a model."""
    await engine.start()
    try:
        await _ready(engine)
        asking()
        jobs = iter(enumerate(scenes))
        limits = limits_of(settings)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(_abreast(settings), len(scenes))):
                tasks.create_task(_work(jobs, limits, engine, heard))
        return engine.health()
    finally:
        await engine.stop()


def _abreast(settings: Settings) -> int:
    """Scenes in flight: one batch is judged while the next is decoded."""
    return 2 * settings.engine.max_batch


async def _ready(engine: Engine) -> None:
    while not (health := engine.health()).ready:
        if health.state in ("down", "stopped"):
            raise EngineDown(health.detail or "the model cannot be loaded")
        await asyncio.sleep(AGAIN_S)


async def _work(
    jobs: Iterator[tuple[int, Scene]], limits: Limits, engine: Engine, heard: Callable[[int, Row], None]
) -> None:
    for number, scene in jobs:
        try:
            views = await asyncio.to_thread(read, scene, limits)
            heard(number, Row(scene, await _ask(engine, views)))
        except Unjudged as unjudged:
            heard(number, Row(scene, reason=unjudged.reason))


_numbers = itertools.count(1)


async def _ask(engine: Engine, views: tuple[bytes, ...]) -> Verdict:
    """The verdict, however often the engine has to be asked. Raises Unjudged."""
    end = time.monotonic() + PATIENCE_S
    while True:
        deadline = time.monotonic() + DEADLINE_S
        try:
            return await engine.submit(Request(f"classify-{next(_numbers)}", "", "classify", views, deadline))
        except BadImage as bad:
            raise Unjudged(bad.reason) from None
        except Shed:
            await asyncio.sleep(AGAIN_S)
        except Unavailable as unavailable:
            if unavailable.reason not in ("starting", "down"):
                raise Unjudged(unavailable.reason) from None
            if time.monotonic() > end or engine.health().state == "stopped":
                raise Unjudged("down") from None
            await asyncio.sleep(AGAIN_S)

"""Engines with the tests' tiers, and requests for them."""

import asyncio
import itertools
import sys
import time
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path

from engine_tiers import KINDS
from PIL import Image

from miner.engine.child import ChildEngine
from miner.engine.config import EngineConfig
from miner.engine.thread import ThreadEngine
from miner.engine.tiers import FACTORIES
from models.core import Request
from models.description import Description

COMMAND = (sys.executable, "-P", str(Path(__file__).with_name("engine_child.py")))
_count = itertools.count()


def picture(brightness=128, size=(32, 32)):
    """A PNG of one grey."""
    buffer = BytesIO()
    Image.new("RGB", size, (brightness,) * 3).save(buffer, "PNG")
    return buffer.getvalue()


def ask(brightness=128, *, within=5.0, views=1, data=None, priority=0.0):
    image = picture(brightness) if data is None else data
    return Request(f"r{next(_count)}", "us", "them", (image,) * views, time.monotonic() + within, priority)


def config_of(*, standby=False, heartbeat_s=0.2, hang_s=5.0, queue=512, held_bytes=2**28, **options):
    return EngineConfig(
        Description("given", ({"kind": "brightness", **options},)),
        device="cpu",
        queue=queue,
        held_bytes=held_bytes,
        heartbeat_s=heartbeat_s,
        hang_s=hang_s,
        standby=standby,
    )


def make(kind, **options):
    config = config_of(**options)
    if kind == "child":
        return ChildEngine(config, command=COMMAND)
    return ThreadEngine(config, build=lambda spec, device: {**FACTORIES, **KINDS}[spec["kind"]](spec, device))


async def until(condition, within=30.0):
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def running(engine):
    await engine.start()
    try:
        await until(lambda: engine.health().ready)
        yield engine
    finally:
        await engine.stop()

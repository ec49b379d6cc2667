"""A registry of lamps, an engine that judges with them, and whoever asks it meanwhile."""

import asyncio
import itertools
import json
import struct
import sys
import time
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image

from miner.engine.child import ChildEngine
from miner.engine.config import EngineConfig
from miner.engine.golden import Item
from miner.engine.interface import Refused
from miner.registry import Registry
from miner.swap.cascades import in_service
from miner.swap.engine import SwappingEngine
from miner.swap.gate import gate
from miner.swap.swapper import Rules, Swapper
from models.core import Request
from models.description import Description

COMMAND = (sys.executable, "-P", str(Path(__file__).with_name("swap_child.py")))
BASE = Description("given", ({"kind": "lamp"},))
TIER = "lamp"
_count = itertools.count()


def picture(brightness):
    buffer = BytesIO()
    Image.new("L", (8, 8), brightness).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def item(brightness, roadwork=None):
    side = brightness >= 128 if roadwork is None else roadwork
    return Item(f"grey-{brightness}", side, (picture(brightness),))


KNOWN = tuple(item(value) for value in (20, 60, 200, 240))
LABELLED = [item(value) for value in range(8, 248, 2)]


def ask(brightness, within=5.0):
    return Request(f"c{next(_count)}", "us", "them", (picture(brightness),), time.monotonic() + within)


def weights(numbers=4):
    """A safetensors file with one tensor."""
    size = 4 * numbers
    header = json.dumps({"w": {"dtype": "F32", "shape": [numbers], "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(range(size % 256)).ljust(size, b"\0")


def brought(folder, **told):
    """A folder with a lamp as somebody brings it."""
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(weights())
    (folder / "lamp.json").write_text(json.dumps(told))
    return folder


def make(described, *, gentle):
    config = EngineConfig(described, device="cpu", heartbeat_s=0.2, standby=False, gentle=gentle)
    return ChildEngine(config, command=COMMAND)


async def until(condition, within=30.0):
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        await asyncio.sleep(0.01)


class Stage:
    """`swapper` over `registry`; `notes` what the ledger would hold; `bring` a version into the registry."""

    def __init__(
        self, folder, base=BASE, labelled=LABELLED, known=KNOWN, free=lambda: None, on_step=None, **rules
    ):
        self.folder = folder
        self.registry = Registry(folder / "models")
        self.engine = SwappingEngine(make, in_service(base, self.registry))
        self.notes = []

        async def pictures(tier, version):
            return labelled

        settled = {"shadow": 3, "shadow_s": 20.0, "load_s": 20.0, "within_s": 2.0, **rules}
        self.swapper = Swapper(
            self.engine,
            self.registry,
            base=base,
            rules=Rules(**settled),
            gate=gate,
            labelled=pictures,
            known=known,
            note=lambda kind, data: self.notes.append((kind, data)),
            on_step=on_step or (lambda step: None),
            free=free,
        )

    def bring(self, tier=TIER, **told):
        return self.registry.add(tier, brought(self.folder / f"brought-{next(_count)}", **told))

    async def says(self, brightness):
        return (await self.engine.submit(ask(brightness))).log_odds


@asynccontextmanager
async def staged(folder, **options):
    stage = Stage(folder, **options)
    await stage.engine.start()
    try:
        await until(lambda: stage.engine.health().ready)
        yield stage
    finally:
        await stage.swapper.close()
        await stage.engine.stop()


@asynccontextmanager
async def traffic(stage, gap_s=0.01):
    """Challenges all the time, dark and bright ones in turn; the verdicts and failures so far."""
    seen = []

    async def one(brightness):
        try:
            seen.append(await stage.engine.submit(ask(brightness)))
        except Refused as error:
            seen.append(error)

    async def run():
        async with asyncio.TaskGroup() as tasks:
            for n in itertools.count():
                tasks.create_task(one(10 + 97 * n % 230))
                await asyncio.sleep(gap_s)

    task = asyncio.create_task(run())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def lost(seen):
    return [each for each in seen if isinstance(each, Exception)]

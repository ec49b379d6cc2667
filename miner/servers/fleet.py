"""All servers of one miner: checked against the GPUs, started side by side, stopped together."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from loguru import logger

from miner.control import Command
from miner.servers import flags
from miner.servers.gpus import gpus_here
from miner.servers.health import ServerHealth
from miner.servers.holder import Holder
from miner.servers.spec import ServerSpec
from miner.servers.specfile import read_keys, read_specs
from miner.servers.supervisor import Host, Supervisor
from miner.servers.watcher import Watcher
from miner.servers.weights import WeightControl, WeightsRefused
from miner.settings import SettingsError
from models.residency import GPU
from models.vlm.secret import Secret

SWAPPED = re.compile(r"[a-z][a-z0-9_]{0,40}")
"""Names that a tier of the registry can have: what such a server of this host holds can be swapped."""
Gpus = Callable[[], Coroutine[Any, Any, Mapping[int, GPU]]]


class Servers:
    """`start` returns at once; `stop` ends every process. `health` lists them in the file's order; `holders`
    are those of this host whose weights can be swapped, by name."""

    def __init__(
        self,
        specs: Sequence[ServerSpec],
        host: Host,
        keys: Mapping[str, Secret] | None = None,
        gpus: Gpus = gpus_here,
    ) -> None:
        keys = keys or {}
        self._kept = {
            spec.name: Supervisor(spec, host, keys.get(spec.name))
            if spec.here
            else Watcher(spec, keys.get(spec.name))
            for spec in specs
        }
        self._specs = tuple(specs)
        self._gpus = gpus
        self._controls = {
            spec.name: WeightControl(spec, Path(spec.model_path), keys.get(spec.name))
            for spec in specs
            if spec.here
        }
        self.holders = {
            name: Holder(kept, self._controls[name])
            for name, kept in self._kept.items()
            if isinstance(kept, Supervisor) and SWAPPED.fullmatch(name)
        }
        self._refused: dict[str, str] = {}
        self._beginning: asyncio.Task[None] | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def commands(self) -> dict[str, Command]:
        """For the control socket."""
        return {
            "server_load": self.load,
            "server_unload": self.unload,
            "server_release": self.release,
            "server_resume": self.resume,
        }

    def health(self) -> list[ServerHealth]:
        return [self._health(spec) for spec in self._specs]

    async def start(self) -> None:
        """Returns at once."""
        self._beginning = asyncio.create_task(self._begin(), name="servers")
        self._beginning.add_done_callback(_tell)

    async def _begin(self) -> None:
        """Check what can be checked without starting anything, then start the rest."""
        self._refused = await self._check()
        for name, sentence in self._refused.items():
            logger.error("server {} is not started: {}", name, sentence)
        for spec in self._specs:
            if spec.name not in self._refused and not spec.on_demand and spec.name not in self._tasks:
                self._run(spec.name)

    def _run(self, name: str) -> None:
        self._tasks[name] = asyncio.create_task(self._kept[name].run(), name=f"server {name}")
        self._tasks[name].add_done_callback(_tell)

    async def load(self, name: str) -> str:
        """Start a server that is down; its state tells how far it is. ValueError: it cannot be, or is up."""
        self._here(name)
        if self._beginning is not None:
            await asyncio.wait([self._beginning])  # what is refused is not known before
        if name in self._refused:
            raise ValueError(f"{name} is refused: {self._refused[name]}")
        if name in self._tasks:
            raise ValueError(f"{name} is loaded already")
        self._run(name)
        return f"{name} is being loaded: it waits for room on its GPUs, then for its weights"

    async def unload(self, name: str) -> str:
        """End its process and free its GPUs; its member is absent meanwhile. ValueError: it is not up."""
        self._here(name)
        task = self._tasks.pop(name, None)
        if task is None:
            raise ValueError(f"{name} is not loaded")
        await _end(task)
        return f"{name} is unloaded"

    async def release(self, name: str) -> str:
        """Have it give its GPU memory to others; its member is absent until `resume`. ValueError: it does
        not."""
        self._here(name)
        try:
            await self._controls[name].release()
        except WeightsRefused as error:
            raise ValueError(str(error)) from error
        return f"{name} has released its memory"

    async def resume(self, name: str) -> str:
        """Have it take its memory back and answer again. ValueError: it does not."""
        self._here(name)
        try:
            await self._controls[name].resume()
        except WeightsRefused as error:
            raise ValueError(str(error)) from error
        return f"{name} holds its memory"

    def _here(self, name: str) -> None:
        ours = [spec.name for spec in self._specs if spec.here]
        if name not in ours:
            raise ValueError(f"no server {name[:41]!r} of this host; there is {', '.join(ours) or 'none'}")

    async def stop(self) -> None:
        """Idempotent."""
        tasks = [*([self._beginning] if self._beginning else []), *self._tasks.values()]
        self._tasks = {}
        await asyncio.gather(*map(_end, tasks))
        await asyncio.gather(*(control.close() for control in self._controls.values()))

    async def _check(self) -> dict[str, str]:
        """Name -> why it is refused."""
        here = [spec for spec in self._specs if spec.here]
        if not here:
            return {}
        gpus = await self._gpus() if any(spec.device == "cuda" for spec in here) else {}
        refused, remarks = flags.check_all(here, gpus)
        for name, remark in remarks:
            logger.warning("server {}: {}", name, remark)
        return refused

    def _health(self, spec: ServerSpec) -> ServerHealth:
        about = (spec.name, spec.address, spec.model, True)
        if (sentence := self._refused.get(spec.name)) is not None:
            return ServerHealth(*about, "refused", sentence)
        if spec.on_demand and spec.name not in self._tasks:
            return ServerHealth(*about, "stopped", "loaded on demand")
        return self._kept[spec.name].health()


def create_servers(file: Path | None, python: str, folder: Path) -> Servers:
    """The servers of a file, or none. `folder` keeps their keys' files. Raises SettingsError."""
    specs = () if file is None else read_specs(file)
    keys = read_keys(specs)
    for spec in specs:
        if spec.here and not Path(spec.python or python).exists():
            raise SettingsError(
                f"servers.file {file}: server {spec.name}: no Python at {spec.python or python}; SGLang "
                "needs an environment of its own (make sglang-env), named by servers.python"
            )
    return Servers(specs, Host(python, folder), keys)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await task


def _tell(task: asyncio.Task[None]) -> None:
    """A supervisor that fails is an error of ours, which must not end the miner."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.opt(exception=error).critical("{} is no longer looked after", task.get_name())

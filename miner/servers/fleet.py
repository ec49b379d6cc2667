"""All servers of one miner: checked against the GPUs, started side by side, stopped together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from loguru import logger

from miner.servers import flags
from miner.servers.gpus import gpus_here
from miner.servers.health import ServerHealth
from miner.servers.spec import ServerSpec
from miner.servers.specfile import read_keys, read_specs
from miner.servers.supervisor import Host, Supervisor
from miner.servers.watcher import Watcher
from miner.settings import SettingsError
from models.residency import GPU
from models.vlm.secret import Secret

Gpus = Callable[[], Coroutine[Any, Any, Mapping[int, GPU]]]


class Servers:
    """`start` returns at once; `stop` ends every process. `health` lists them in the file's order."""

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
        self._refused: dict[str, str] = {}
        self._beginning: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

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
        runs = {name: kept.run() for name, kept in self._kept.items() if name not in self._refused}
        self._tasks = [asyncio.create_task(run, name=f"server {name}") for name, run in runs.items()]
        for task in self._tasks:
            task.add_done_callback(_tell)

    async def stop(self) -> None:
        """Idempotent."""
        tasks = [*([self._beginning] if self._beginning else []), *self._tasks]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError, Exception):
                await task
        self._tasks = []

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
        sentence = self._refused.get(spec.name)
        if sentence is None:
            return self._kept[spec.name].health()
        return ServerHealth(spec.name, spec.address, spec.model, True, "refused", sentence)


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


def _tell(task: asyncio.Task[None]) -> None:
    """A supervisor that fails is an error of ours, which must not end the miner."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.opt(exception=error).critical("{} is no longer looked after", task.get_name())

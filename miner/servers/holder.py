"""What one SGLang server of this host holds, as swaps see it: a checkpoint, or an adapter on its own one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from miner.servers.outline import Unlike
from miner.servers.spec import ServerSpec
from miner.servers.supervisor import Supervisor
from miner.servers.weights import WeightControl, WeightsRefused

ADAPTER = "adapter_config.json"
"""What makes a folder a LoRA adapter rather than a checkpoint."""


class Unheld(Exception):
    """The server goes on with what it held. `blame`: the version is at fault, not the moment."""

    def __init__(self, why: str, *, blame: bool) -> None:
        super().__init__(why)
        self.why, self.blame = why, blame


class Holder:
    """`supervisor` keeps the process alive, `control` changes what it holds; `home` is the folder that the
    servers file names."""

    def __init__(self, supervisor: Supervisor, control: WeightControl) -> None:
        self._supervisor, self._control = supervisor, control
        self._spec, self._moved = supervisor.spec, False
        self.home = control.serving

    def begin(self, folder: Path) -> None:
        """Before its process starts: it is to hold that version from the start."""
        self._supervisor.spec = started_with(self._spec, folder)
        if is_adapter(folder):
            self._control.adapters[folder.name] = folder
        else:
            self._control.serving, self._moved = folder, True

    def beside(self, folder: Path | None) -> bool:
        """Whether it holds that beside what it held, rather than instead."""
        return folder is not None and is_adapter(folder)

    def name(self, folder: Path | None) -> str:
        """What a question must name to be answered by that (None: its own weights)."""
        own = str(self.home) if self._moved else self._spec.model
        return own if folder is None else served_as(own, folder)

    async def hold(self, folder: Path | None) -> None:
        """Hold a version's folder (None: its own weights again). Requests that run are finished first. Raises
        Unheld."""
        try:
            await self._control.resume()
            if folder is not None and is_adapter(folder):
                await self._adapted(folder)
            elif self._control.serving != (wanted := folder or self.home):
                await self._control.update(wanted, wanted.name)
                self._moved = True
        except WeightsRefused as error:
            raise Unheld(str(error), blame=isinstance(error.__cause__, Unlike)) from error

    async def let_go(self, folder: Path | None) -> None:
        """Hold an adapter no longer; a checkpoint has made way already. Raises Unheld."""
        if folder is None or folder.name not in self._control.adapters:
            return
        try:
            await self._control.unload_adapter(folder.name)
        except WeightsRefused as error:
            raise Unheld(str(error), blame=False) from error

    def keep(self, folder: Path | None) -> None:
        """Start it with that from now on, should it have to be started again."""
        wanted = folder or (self.home if self._moved else None)
        self._supervisor.spec = started_with(self._spec, wanted) if wanted else self._spec

    async def _adapted(self, folder: Path) -> None:
        if self._control.serving != self.home:
            why = (
                f"{self._spec.name} holds another checkpoint, and an adapter goes on its own: roll back first"
            )
            raise Unheld(why, blame=False)
        if folder.name not in self._control.adapters:
            await self._control.load_adapter(folder.name, folder)


def is_adapter(folder: Path) -> bool:
    return (folder / ADAPTER).is_file()


def served_as(own: str, folder: Path) -> str:
    """What SGLang calls a version: an adapter by its name after the model's, a checkpoint by its folder."""
    return f"{own}:{folder.name}" if is_adapter(folder) else str(folder)


def started_with(spec: ServerSpec, folder: Path) -> ServerSpec:
    """The server as it is to be started when it is to hold that version."""
    if is_adapter(folder):
        paths = [f"{folder.name}={folder}"]
        return replace(spec, flags={**spec.flags, "lora-paths": paths})
    return replace(spec, model=str(folder), model_path=str(folder), revision=None)

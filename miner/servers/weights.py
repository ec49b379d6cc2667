"""Changing what a running SGLang server holds: weights, LoRA adapters, its memory.

Its routes end the server when they are called at the wrong moment (seen with 0.5.23: weights of another
shape; releasing while a request runs; resuming what was not released). Everything here looks first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from miner.servers.outline import Unlike, check_alike
from miner.servers.spec import ServerSpec
from models.vlm.secret import Secret

WORD_S = 5.0
LOAD_S = 600.0
"""Reading weights from a slow disk."""
DRAIN_S = 30.0
POLL_S = 0.05


class WeightsRefused(Exception):
    """The server goes on with what it held; the message is a sentence for the operator."""


class WeightControl:
    """Of one server, for one event loop; one change at a time. `serving` the folder whose weights it holds.

    `adapters` LoRA adapters by name: only these may be asked for. (A server loads an adapter again that was
    unloaded, as soon as somebody asks for it: so the gate is here.)"""

    def __init__(self, spec: ServerSpec, serving: Path, key: Secret | None = None) -> None:
        self.serving = serving
        self.adapters: dict[str, Path] = {}
        self.released = False
        self._spec = spec
        self._turn = asyncio.Lock()
        self._http = httpx.AsyncClient(
            base_url=spec.address, headers=_bearer(key), timeout=WORD_S, trust_env=False
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def update(self, folder: Path, version: str) -> None:
        """Serve the weights of `folder`, a checkpoint of the same network, under the name `version`. Requests
        that run are finished first. It then answers to the folder's path as its model's name. Raises
        WeightsRefused; weights that were read only in part are put back."""
        async with self._turn:
            if self.released:
                raise WeightsRefused(f"{self._spec.name} has released its memory: resume it first")
            try:
                await asyncio.to_thread(check_alike, self.serving, folder)
            except Unlike as error:
                raise WeightsRefused(f"{self._spec.name}: {error}") from error
            await self._load(folder, version)
            if await self._weight_version() != version:
                await self._load(self.serving, "back")
                raise WeightsRefused(f"{self._spec.name} does not say that it serves {version}: put back")
            self.serving = folder

    async def load_adapter(self, name: str, folder: Path) -> None:
        """Hold a LoRA adapter, asked for as "MODEL:NAME". Raises WeightsRefused."""
        self._needs("enable-lora", "LoRA adapters")
        async with self._turn:
            await self._ask("/load_lora_adapter", {"lora_name": name, "lora_path": str(folder)}, LOAD_S)
            self.adapters[name] = folder

    async def unload_adapter(self, name: str) -> None:
        """Hold it no longer; from now on nobody may ask for it. Raises WeightsRefused."""
        if self.adapters.pop(name, None) is None:
            raise WeightsRefused(f"{self._spec.name} holds no adapter {name!r}")
        async with self._turn:
            await self._ask("/unload_lora_adapter", {"lora_name": name})

    async def release(self) -> None:
        """Give its GPU memory to others. Questions wait until `resume`: its member is absent meanwhile, also
        for what still runs after a moment's patience. No effect the second time. Raises WeightsRefused."""
        self._needs("enable-memory-saver", "releasing memory")
        self._needs("enable-weights-cpu-backup", "getting its weights back")
        async with self._turn:
            if self.released:
                return
            await self._idle(DRAIN_S)
            async with self._paused():
                if not await self._idle(WORD_S):
                    raise WeightsRefused(f"{self._spec.name} is busy, although it is paused")
                await self._ask("/release_memory_occupation", {})
            self.released = True

    async def resume(self) -> None:
        """Take its memory back and answer again. No effect when nothing was released. Raises
        WeightsRefused."""
        async with self._turn:
            if not self.released:
                return
            await self._ask("/resume_memory_occupation", {}, LOAD_S)
            self.released = False
            await self._ask("/continue_generation", {})

    # Inside

    def _needs(self, flag: str, what: str) -> None:
        given = {name.removeprefix("--").replace("_", "-"): value for name, value in self._spec.flags.items()}
        if self._spec.here and not given.get(flag):
            raise WeightsRefused(f"{self._spec.name}: {what} needs the flag {flag} at its start")

    async def _load(self, folder: Path, version: str) -> None:
        about = {"model_path": str(folder), "weight_version": version, "flush_cache": True}
        await self._ask("/update_weights_from_disk", about, LOAD_S)

    async def _weight_version(self) -> str:
        try:
            answer = (await self._http.get("/model_info")).json()
            return str(answer["weight_version"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise WeightsRefused(f"{self._spec.name} does not say what it serves: {error!r}") from error

    @asynccontextmanager
    async def _paused(self) -> AsyncIterator[None]:
        """Newcomers wait from here on, and what runs is aborted: its member is absent. Should what follows
        fail, they are let in again."""
        await self._ask("/pause_generation", {"mode": "abort"})
        try:
            yield
        except BaseException:
            await self._ask("/continue_generation", {})
            raise

    async def _idle(self, within_s: float) -> bool:
        """Whether no request runs, now or within the time."""
        end = time.monotonic() + within_s
        while await self._running():
            if time.monotonic() > end:
                return False
            await asyncio.sleep(POLL_S)
        return True

    async def _running(self) -> int:
        try:
            answer = (await self._http.get("/v1/loads")).json()
            return sum(int(one["num_running_reqs"]) for one in answer["loads"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise WeightsRefused(f"{self._spec.name} does not say how busy it is: {error!r}") from error

    async def _ask(self, path: str, body: Mapping[str, Any], within_s: float = WORD_S) -> None:
        try:
            reply = await self._http.post(path, json=dict(body), timeout=within_s)
        except httpx.HTTPError as error:
            raise WeightsRefused(f"{self._spec.name} does not answer {path}: {error!r}") from error
        if reply.status_code != 200 or _failed(reply):
            raise WeightsRefused(f"{self._spec.name} refuses {path}: {_why(reply)}")


def _failed(reply: httpx.Response) -> bool:
    return _json(reply).get("success") is False


def _why(reply: httpx.Response) -> str:
    said = _json(reply)
    return str(said.get("message") or said.get("error_message") or f"HTTP {reply.status_code}")


def _json(reply: httpx.Response) -> dict[str, Any]:
    try:
        found = reply.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _bearer(key: Secret | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {key.reveal()}"} if key else {}

"""Asking a server how it is: its own word (`/ready`, `/ping`, its gate), and a scored picture."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace

import httpx

from miner.engine import picture
from miner.servers.spec import ServerSpec
from models.vlm import Address, Question, Server, ask_by
from models.vlm.labels import LowMass
from models.vlm.secret import Secret

WORD_S = 3.0
"""A server that takes longer to say one word does not answer."""
SIDE = 224
REQUEST_ID = "probe"


class Probe:
    """For one event loop. None of these raises for what the server does; `picture` raises Absent."""

    def __init__(self, spec: ServerSpec, key: Secret | None = None) -> None:
        address = Address(
            url=spec.address, model=spec.model, dialect=spec.dialect, slots=1, tries=1, key=key, check_s=0.0
        )
        self._here = spec.here
        self._server = Server(address)
        question = Question(low_mass=LowMass(least=spec.probe_mass))
        self._member = ask_by(spec.protocol, spec.name, self._server, question)
        self._view = picture.png(SIDE)
        self._gate = f"http://127.0.0.1:{spec.gate}"
        self._words = httpx.AsyncClient(
            base_url=spec.address, headers=_bearer(key), timeout=WORD_S, trust_env=False
        )

    async def close(self) -> None:
        await self._server.close()
        await self._words.aclose()

    async def picture(self, within_s: float) -> float:
        """Milliseconds that a scored picture took. Raises Absent: no yes or no in time, another model, ..."""
        self._server.reopen()  # a probe is always sent: it is how a server that failed is found to work again
        said = await self._member.evidence([self._view], time.monotonic() + within_s, REQUEST_ID)
        if self._here:  # its weights, and so its model's name, are exchanged by us alone from now on
            self._server.address = replace(self._server.address, check_model=False)
        return said.cost_ms

    async def ready(self) -> bool:
        """Whether it says that it takes questions."""
        return await self._says("GET", "/ready")

    async def paused(self) -> bool:
        """Whether it says that it is well but not ready: `/ping` stays 200 while generation is paused, on
        purpose, `/ready` does not."""
        well, ready = await asyncio.gather(self._says("GET", "/ping"), self._says("GET", "/ready"))
        return well and not ready

    async def gated(self) -> bool:
        """Whether it waits at its gate, before any memory of the GPU is taken."""
        return await self._says("GET", f"{self._gate}/health")

    async def activate(self) -> bool:
        """Let it through its gate."""
        return await self._says("POST", f"{self._gate}/gate/activate")

    async def _says(self, method: str, url: str) -> bool:
        try:
            return (await self._words.request(method, url)).status_code == 200
        except httpx.HTTPError:
            return False


def _bearer(key: Secret | None) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {key.reveal()}"} if key else {}

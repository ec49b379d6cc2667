"""Carries alarms out of the miner: to a webhook, to a command. Never in the way of anything else."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx
from loguru import logger

from miner.settings import Alerts

WAITING = 100
"""Most alarms that wait for a slow channel; past it the newest are dropped, and the log says so."""
ORDER = ("info", "warn", "fail")
Deliver = Callable[[dict[str, str]], Awaitable[str | None]]
"""Takes what a channel is told; why it failed, None when it did not."""


class AlertSender:
    """`send(alarm)` from the event loop's thread; `run()` delivers, one after another, until cancelled.

    An alarm is the mapping that `miner.alarms.Alarms` tells. The webhook gets it as JSON, with `hotkey` and a
    `content` and `text` that chat services show; the command gets the same JSON on its standard input, and
    SVM_ALARM_KEY, _LEVEL, _STATE and _TEXT in its environment. A failed delivery is tried once more.
    """

    def __init__(self, section: Alerts, hotkey: str) -> None:
        self._section, self._hotkey = section, hotkey
        self._waiting: asyncio.Queue[dict[str, str]] = asyncio.Queue(WAITING)
        self._client: httpx.AsyncClient | None = None

    def send(self, alarm: Mapping[str, Any], hotkey: str = "") -> None:
        """Put in the queue, unless it is below `alerts.level` or there is no channel. `hotkey`: whom it is
        about, by default the one this was made for."""
        if ORDER.index(alarm["level"]) < ORDER.index(self._section.level) or not self._channels():
            return
        try:
            self._waiting.put_nowait(message(alarm, hotkey or self._hotkey))
        except asyncio.QueueFull:
            logger.error("{} alerts wait already; not sent: {}", WAITING, alarm["text"])

    async def run(self) -> None:
        """Deliver what comes."""
        try:
            while True:
                told = await self._waiting.get()
                for channel, deliver in self._channels().items():
                    await self._deliver(channel, deliver, told)
        finally:
            await self._close()

    async def try_out(self) -> dict[str, str | None]:
        """Send a test by every channel, once: channel -> why it did not take it, None when it did."""
        test = {"key": "test", "level": "info", "state": "rings", "text": "a test, nothing is wrong"}
        told = message(test, self._hotkey)
        try:
            return {channel: await deliver(told) for channel, deliver in self._channels().items()}
        finally:
            await self._close()

    async def _close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _channels(self) -> dict[str, Deliver]:
        found: dict[str, Deliver] = {}
        if self._section.webhook is not None:
            found["webhook"] = self._post
        if self._section.command is not None:
            found["command"] = self._execute
        return found

    async def _deliver(self, channel: str, deliver: Deliver, told: dict[str, str]) -> None:
        why = await deliver(told)
        if why is not None:
            await asyncio.sleep(self._section.retry_s)
            why = await deliver(told)
        if why is not None:
            logger.error("alerts.{} did not take an alarm: {}", channel, why)

    async def _post(self, told: dict[str, str]) -> str | None:
        """Why it failed; None when it did not. The address may hold a secret: it is never part of it."""
        assert self._section.webhook is not None
        if self._client is None:  # in a thread: reading the certificates takes longer than an answer may wait
            self._client = await asyncio.to_thread(httpx.AsyncClient, timeout=self._section.timeout_s)
        try:
            reply = await self._client.post(self._section.webhook, json=told)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return type(error).__name__
        return None if reply.is_success else f"HTTP {reply.status_code}"

    async def _execute(self, told: dict[str, str]) -> str | None:
        assert self._section.command is not None
        words = shlex.split(self._section.command)
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env=_environment(told),
            )
        except OSError as error:
            return error.strerror or type(error).__name__
        return await self._finish(process, told)

    async def _finish(self, process: asyncio.subprocess.Process, told: dict[str, str]) -> str | None:
        try:
            async with asyncio.timeout(self._section.timeout_s):
                await process.communicate(json.dumps(told).encode())
        except TimeoutError:
            return f"not done after {self._section.timeout_s:g} s"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return None if process.returncode == 0 else f"exit status {process.returncode}"


def message(alarm: Mapping[str, Any], hotkey: str) -> dict[str, str]:
    """What a channel is told, flat and as text: `alarm` is its sentence alone, `text` and `content` are that
    with level and miner, under the names that chat services show."""
    word = "over" if alarm["state"] == "over" else alarm["level"]
    sentence = f"[{word}] streetvision-miner {hotkey[:6]}: {alarm['text']}"
    told = {name: str(alarm[name]) for name in ("key", "level", "state")}
    return {**told, "alarm": str(alarm["text"]), "hotkey": hotkey, "text": sentence, "content": sentence}


def _environment(told: Mapping[str, str]) -> dict[str, str]:
    """Ours without our own settings (they may hold secrets), and the alarm."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("SVM_")}
    alarm = {f"SVM_ALARM_{name.upper()}": told[name] for name in ("key", "level", "state")}
    return {**ours, **alarm, "SVM_ALARM_TEXT": told["alarm"]}

"""systemd's view of us: READY when a model answers, WATCHDOG only while it goes on answering."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import sdnotify

from miner.engine.interface import EngineHealth


def interval_s(environ: dict[str, str] | None = None) -> float:
    """Seconds between two feedings: a third of systemd's limit, so that two may be lost; else 5."""
    limit_us = (environ if environ is not None else dict(os.environ)).get("WATCHDOG_USEC", "")
    return int(limit_us) / 3e6 if limit_us.isdigit() and int(limit_us) > 0 else 5.0


def state_of(health: EngineHealth, said_ready: bool) -> list[str]:
    """What to tell systemd now. A miner whose engine is down is not fed: systemd then restarts it."""
    words = [f"STATUS={health.state}: {health.detail}" if health.detail else f"STATUS={health.state}"]
    if health.ready and not said_ready:
        words.append("READY=1")
    if health.ready or health.state == "starting":
        words.append("WATCHDOG=1")
    return words


async def feed(health: Callable[[], EngineHealth]) -> None:
    """Report to systemd until cancelled. Does nothing harmful where there is no systemd."""
    notifier = sdnotify.SystemdNotifier()
    said_ready = False
    while True:
        words = state_of(health(), said_ready)
        said_ready = said_ready or "READY=1" in words
        notifier.notify("\n".join(words))
        await asyncio.sleep(min(interval_s(), 1.0) if not said_ready else interval_s())

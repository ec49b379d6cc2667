from __future__ import annotations

import asyncio
import selectors

import pytest
from fake_server import FakeServer


@pytest.fixture
def fake():
    server = FakeServer().start()
    yield server
    server.stop()


class VirtualClock(selectors.SelectSelector):
    """Instead of waiting for time to pass, lets it have passed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None):
        ready = super().select(0)
        if not ready and timeout:
            self.now += timeout
        return ready


@pytest.fixture
def virtual_loop():
    """An event loop whose time is virtual: `loop.time()` is its clock."""
    clock = VirtualClock()
    loop = asyncio.SelectorEventLoop(clock)
    loop.time = lambda: clock.now  # type: ignore[method-assign]
    yield loop
    loop.close()

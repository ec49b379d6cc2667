"""Serves the operator's page on its own port, in the miner's event loop, and leaves the signals alone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from miner.settings import Page, SettingsError

CLIENTS = 64
"""Most connections at once; the page is for one operator and one Prometheus."""

BACKLOG = 16
"""Connections that wait to be accepted. asyncio tries, and complains, as often when none can be."""


class PageServer:
    """`await start()` binds and serves, `url` says where, `await stop()` ends it. Port 0: any free one."""

    def __init__(self, app: ASGIApp, page: Page) -> None:
        self._app = app
        self._page = page
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self.port = page.port

    @property
    def url(self) -> str:
        """The address to open in a browser on this machine."""
        host = self._page.host.strip("[]")
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    async def start(self) -> None:
        """Raises SettingsError, with a sentence, when the address cannot be had."""
        bound = _bind(self._page)
        self.port = bound.getsockname()[1]
        config = uvicorn.Config(
            self._app,
            access_log=False,
            limit_concurrency=CLIENTS,
            backlog=BACKLOG,
            lifespan="off",
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=1,
            ws="none",
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[bound]), name="page")
        while not self._server.started and not self._serving.done():
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Idempotent."""
        if self._server is None or self._serving is None:
            return
        self._server.should_exit = True
        await self._serving
        self._server = self._serving = None


class _Server(uvicorn.Server):
    """uvicorn takes over SIGINT and SIGTERM; those are the miner's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _bind(page: Page) -> socket.socket:
    host = page.host.strip("[]")
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, page.port))
    except OSError as error:
        bound.close()
        raise SettingsError(
            f"the status page cannot listen on {page.host} port {page.port} ({error.strerror or error}): "
            "set page.host, page.port (0 takes a free one) or --no-page.enabled"
        ) from error
    return bound

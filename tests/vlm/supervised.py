"""A supervisor and its server in an event loop of their own, for tests that trouble them from outside."""

from __future__ import annotations

import asyncio
import threading
import time

from miner.engine.failover import Breaker
from miner.servers import ServerHealth, ServerSpec
from miner.servers.supervisor import Host, Supervisor
from models.vlm.secret import Secret


class Supervised:
    """Ready inside the block, ended after it. `patience_s` for getting ready."""

    def __init__(self, spec: ServerSpec, host: Host, patience_s: float, key: Secret | None = None) -> None:
        self.spec, self.patience_s = spec, patience_s
        self.supervisor = Supervisor(spec, host, key, Breaker(first_s=0.01, longest_s=0.05, most=1000))
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(self.supervisor.run())
        self._loop.run_until_complete(asyncio.wait([self._task]))
        self._loop.close()

    def __enter__(self) -> Supervised:
        self._thread.start()
        self.until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(60)

    @property
    def health(self) -> ServerHealth:
        return self.supervisor.health()

    def until_ready(self, pid_not: int | None = None) -> None:
        end = time.monotonic() + self.patience_s
        while not (self.health.ready and self.health.pid != pid_not):
            assert time.monotonic() < end and self.health.state != "crash_loop", self.health
            time.sleep(0.05)

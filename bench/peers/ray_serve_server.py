"""Ray Serve alone, with its own batching: one replica behind its HTTP proxy. Reads one JSON line {"model",
"threads", "batch"}, answers {"port", "pid"}, stops at the end of input."""

from __future__ import annotations

import logging
import sys
from typing import Any

import ray
from judge import PATIENCE_S, ROUTE, Judge, free_port, greet, told
from ray import serve
from starlette.requests import Request

FILL_S = 0.01
"""How long a batch may wait to fill up."""
ONGOING = 1000
"""So many may be with the replica: batches form there, so none waits outside."""


def deployment(said: dict[str, Any]) -> Any:
    @serve.deployment(max_ongoing_requests=ONGOING, ray_actor_options={"num_cpus": said["threads"]})
    class Served:
        def __init__(self) -> None:
            self._judge = Judge(said["model"], said["threads"])

        @serve.batch(max_batch_size=said["batch"], batch_wait_timeout_s=FILL_S)
        async def judge(self, batch: list[Any]) -> list[float]:
            return self._judge.judge(batch)

        async def __call__(self, request: Request) -> dict[str, float]:
            return {"prediction": await self.judge(self._judge.pixels(await request.json()))}

    return Served.bind()


def main() -> None:
    said, port = told(), free_port()
    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
    serve.start(http_options={"host": "127.0.0.1", "port": port, "request_timeout_s": PATIENCE_S})
    serve.run(deployment(said), route_prefix=ROUTE)
    greet(port)
    sys.stdin.read()
    ray.shutdown()


if __name__ == "__main__":
    main()

"""The replicas of one miner on a cluster: deployed, asked, counted, taken away. Nothing else imports Ray."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Any

from loguru import logger

from miner.engine import frames
from miner.engine.config import EngineConfig
from miner.engine.ray import LOCAL, gone
from miner.engine.ray.replica import Replica

DEPLOYMENT = "judge"
HEALTH_S = 0.5
"""How often Serve asks a replica how it is; three times without a good answer and it is replaced. What it has
in its hands should then have time left with another one."""
HEALTH_TIMEOUT_S = 1.5
UP_S = 10.0
"""How long there must be too much to do before there is a replica more."""
GO_S = 1.0
"""How long a replica that is taken away may finish what it has in its hands."""


class Full(Exception):
    """More wait for a replica than may."""


class Died(Exception):
    """A replica ended with the question in its hands, or cannot be reached; another may answer."""


class Failed(Exception):
    """No replica can answer it; the text says why."""


class Pool:
    """`replica` what a replica is made of (tests bring tiers of their own that way)."""

    def __init__(self, config: EngineConfig, replica: type[Replica] = Replica) -> None:
        self._config = config
        self._replica = replica
        self._handle: Any = None

    def open(self) -> None:
        """Connect, clear away what dead miners of this host have left, deploy, wait until replicas answer. An
        application of this name that is there already goes on with the replicas that it has."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # before Ray is imported: it would report home
        os.environ.setdefault("RAY_worker_niceness", "0")  # of a cluster of ours; 15 is Ray's own choice
        import ray
        from ray import serve

        quiet = {"log_to_driver": False, "logging_level": logging.WARNING}
        if self._config.cluster == LOCAL:
            ray.init(address="local", include_dashboard=False, **quiet)
        else:
            ray.init(address=self._config.cluster, **quiet)
        logging.getLogger("ray.serve").setLevel(logging.ERROR)  # or it warns of every request that is refused
        serve.start(http_options={"location": "NoServer"})
        for name in filter(gone, serve.status().applications):
            logger.warning("what a dead miner left on the cluster is taken away: {}", name)
            serve.delete(name)
        found = serve.status().applications.get(self._config.app)
        if found is not None and found.status == "RUNNING":
            self._handle = serve.get_app_handle(self._config.app)
            return
        bound = serve.deployment(self._replica).options(**self._options(ray)).bind(self._portable())
        self._handle = serve.run(bound, name=self._config.app, route_prefix=None)

    def _portable(self) -> dict[str, Any]:
        """The configuration as a replica needs it: Ray shows it the GPUs that are its own, from 0 on."""
        device = "cuda" if self._config.device.startswith("cuda") else self._config.device
        return self._config.on(device).to_json()

    def _options(self, ray: Any) -> dict[str, Any]:
        config = self._config
        least, most = config.replicas
        on_gpu = config.device != "cpu" and (
            config.device != "auto" or ray.cluster_resources().get("GPU", 0) > 0
        )
        actor: dict[str, Any] = {"num_cpus": max(1, config.threads)}
        if on_gpu:
            actor["num_gpus"] = 1
        options: dict[str, Any] = {
            "name": DEPLOYMENT,
            "ray_actor_options": actor,
            "max_ongoing_requests": config.queue,
            "max_queued_requests": config.queue,
            "health_check_period_s": HEALTH_S,
            "health_check_timeout_s": HEALTH_TIMEOUT_S,
            "graceful_shutdown_timeout_s": GO_S,
            "graceful_shutdown_wait_loop_s": GO_S / 4,
        }
        if most > least:
            scaling = {"min_replicas": least, "max_replicas": most, "upscale_delay_s": UP_S}
            scaling["target_ongoing_requests"] = config.most
            return {**options, "autoscaling_config": scaling}
        return {**options, "num_replicas": least}

    async def ask(self, header: frames.Header, *views: bytes) -> frames.Header:
        """What `Replica.judge` says. Cancelling it withdraws the question. Raises Full, Died or Failed."""
        return await _answered(lambda: self._handle.judge.remote(header, *views))

    async def look(self) -> frames.Header:
        """`Replica.look` of one of them. Raises as `ask`."""
        return await _answered(self._handle.look.remote)

    def running(self) -> int:
        """How many replicas answer. Blocks while the cluster is asked; raises whatever Ray raises."""
        from ray import serve

        found = serve.status().applications.get(self._config.app)
        if found is None or DEPLOYMENT not in found.deployments:
            return 0
        return int(found.deployments[DEPLOYMENT].replica_states.get("RUNNING", 0))

    def close(self) -> None:
        """Take the replicas away; end the cluster if it is ours."""
        import ray
        from ray import serve

        serve.delete(self._config.app)
        if self._config.cluster == LOCAL:
            serve.shutdown()
        ray.shutdown()


async def _answered(ask: Callable[[], Any]) -> frames.Header:
    from ray.exceptions import RayActorError, RayError
    from ray.serve.exceptions import BackPressureError, RayServeException

    asked = ask()
    try:
        said: frames.Header = await asked
    except asyncio.CancelledError:
        asked.cancel()
        raise
    except BackPressureError as error:
        raise Full from error
    except RayActorError as error:
        raise Died from error
    except (RayError, RayServeException) as error:
        raise Failed(f"{type(error).__name__}: {error}") from error
    return said

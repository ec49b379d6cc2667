"""What a miner exports, by metric: made from the collectors that `miner.app` joins, with everything in it."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from miner.engine.interface import EngineHealth
from miner.recorder import RecorderHealth
from miner.records import Exchange
from miner.servers import ServerHealth, server_metrics
from miner.status import UNKNOWN_SUBNET
from miner.telemetry import (
    Metrics,
    chain_metrics,
    disk_metrics,
    engine_metrics,
    gpu_metrics,
    job_metrics,
    recorder_metrics,
    reward_metrics,
)
from miner.telemetry.host import GpuNow

CHAIN = {"state": "ok", "reason": "", "age_s": 7.0, "block": 1, "uid": 5, "failures": 0}
SUBNET = {**UNKNOWN_SUBNET, "burned": 0.1, "at_work": 3, "price": 0.01}
REWARD = {
    "incentive": 0.5,
    "emission_alpha": 1.0,
    "alpha_per_day": 20.0,
    "tao_per_day": 1.0,
    "rank": 1,
    "position": 3,
}
VALIDATOR = {"hotkey": "5V", "challenges": 3, "worst": 0.2, "best": 0.5, "last_s": 7.0, "weight": 0.1}
RAN = {"at_s": 5.0, "trigger": "schedule", "seconds": 1.0, "outcome": "ok", "detail": ""}
SERVER = ServerHealth(
    name="qwen",
    url="http://127.0.0.1:1",
    model="m",
    here=True,
    state="ready",
    probe_ms=5.0,
    answered_age_s=1.0,
)


def everything() -> Metrics:
    """Those of a miner that has done everything once."""
    metrics = Metrics()
    for collector in (
        engine_metrics(lambda: _engine()),
        chain_metrics(lambda: CHAIN, lambda: SUBNET, lambda: REWARD),
        recorder_metrics(lambda: RecorderHealth(0, 0, {"Ledger": 0}, 0.1), lambda: (0, 0)),
        reward_metrics(lambda: [VALIDATOR], lambda: [{"key": "halt"}]),
        job_metrics(lambda: [{"name": "backup", "last": RAN}]),
        server_metrics(lambda: [SERVER]),
        disk_metrics(Path("ledger.sqlite"), lambda: 1),
        gpu_metrics(lambda: [GpuNow("NVIDIA", 2, 1, 0.5, 60.0, 300.0)]),
    ):
        metrics.add(collector)
    work(metrics)
    return metrics


def work(metrics: Metrics) -> None:
    """Another challenge answered, one shed, one refused, and a request of the operator's."""
    metrics.write([_exchange("answered"), _exchange("shed")])
    metrics.refused(401, "stale")
    metrics.operator("answered", 0.1)


def families() -> dict[str, Metric]:
    """Name -> family."""
    metrics = everything()
    return {family.name: family for family in text_string_to_metric_families(metrics.text().decode())}


def names() -> set[str]:
    """Of every sample, as a query names it."""
    return {sample.name for family in families().values() for sample in family.samples}


def labels(name: str) -> set[str]:
    """Label names of a metric's samples."""
    return {
        label
        for family in families().values()
        for sample in family.samples
        if sample.name == name
        for label in sample.labels
    }


def _engine() -> EngineHealth:
    return EngineHealth(
        True,
        "ready",
        versions={"classifier": "a", "regions": "b"},
        batch_sizes={1: 1},
        course="full",
        last_answer_age_s=1.0,
    )


def _exchange(outcome: str) -> Exchange:
    return Exchange(
        id="id",
        at_ns=1,
        hotkey="ours",
        caller="5V",
        address="192.0.2.1",
        client_version="10",
        status=200,
        outcome=outcome,
        size=9,
        prediction=0.5,
        path=("classifier",),
        ms={"total": 20.0},
        margin_s=7.0,
    )

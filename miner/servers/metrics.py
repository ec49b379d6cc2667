"""The servers' health as metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from miner.servers.health import ServerHealth
from miner.telemetry import Reading


def server_metrics(health: Callable[[], Sequence[ServerHealth]]) -> Reading:
    """Per server: its state, its last probe and when, and how often it was started again."""

    def metrics() -> Iterator[Metric]:
        now = health()
        state = GaugeMetricFamily("svm_server_state", "State of a VLM server", labels=["server", "state"])
        probe = GaugeMetricFamily("svm_server_probe_seconds", "Its last scored picture", labels=["server"])
        age = GaugeMetricFamily("svm_server_answered_age_seconds", "Since that", labels=["server"])
        starts = CounterMetricFamily("svm_server_restarts", "Times it was started again", labels=["server"])
        for one in now:
            state.add_metric([one.name, one.state], 1)
            starts.add_metric([one.name], one.restarts)
            if one.probe_ms is not None:
                probe.add_metric([one.name], one.probe_ms / 1e3)
            if one.answered_age_s is not None:
                age.add_metric([one.name], one.answered_age_s)
        yield from (state, probe, age, starts)

    return Reading(metrics)

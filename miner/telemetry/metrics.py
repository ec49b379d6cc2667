"""Every Prometheus metric of the miner. Updated in batches by the recorder's thread, or read at scrape."""

from __future__ import annotations

import platform
from collections import Counter as Tallies
from collections import defaultdict
from collections.abc import Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.registry import Collector

from miner.exits import way
from miner.records import Exchange
from miner.settings import version
from miner.telemetry.buckets import Distribution
from miner.telemetry.collectors import refusal_metrics

CALLERS, STAGES, REASONS = 64, 32, 64
"""Most distinct label values; whatever comes after is counted as "other"."""
OTHER = "other"
STAGE_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 9.0)
MARGIN_S = (0.0, 0.1, 0.5, 1.0, 2.0, 4.0, 6.0, 7.0, 8.0)
PREDICTION = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


class Capped:
    """Lets the first `limit` distinct values of a label through; the rest become "other"."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        if value in self._known:
            return value
        if len(self._known) >= self._limit:
            return OTHER
        self._known.add(value)
        return value


class Metrics:
    """A sink, a counter of refusals, and the text that Prometheus scrapes; its registry is its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._refused: dict[tuple[int, str], int] = {}
        self._caller, self._stage, self._tier = Capped(CALLERS), Capped(STAGES), Capped(STAGES)
        self._declare()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.add(refusal_metrics(self.refusals))

    def _declare(self) -> None:
        registry = self.registry
        self._challenges = Counter(
            "svm_challenges", "Admitted challenges", ["outcome", "caller"], registry=registry
        )
        self._bytes = Counter("svm_body_bytes", "Bytes of admitted bodies", registry=registry)
        self._certified = Counter("svm_certified", "Answers with a certified exit", registry=registry)
        self._exits = Counter(
            "svm_exits", "Answers by the last member that spoke", ["tier", "certified"], registry=registry
        )
        self._exit_s = Distribution(
            "svm_exit_seconds", "Time to the answer by the last member that spoke", STAGE_S, "tier"
        )
        self._stages = Distribution("svm_stage_seconds", "Time of a stage of an answer", STAGE_S, "stage")
        self._margin = Distribution("svm_deadline_margin_seconds", "Left until the deadline", MARGIN_S)
        self._predictions = Distribution("svm_prediction", "P(roadwork) answered", PREDICTION)
        for distribution in (self._exit_s, self._stages, self._margin, self._predictions):
            self.add(distribution)
        self._operator = Counter(
            "svm_operator_requests", "Requests to /v1/classify", ["outcome"], registry=registry
        )
        self._operator_s = Histogram(
            "svm_operator_seconds", "Time of a request to /v1/classify", buckets=STAGE_S, registry=registry
        )
        build = Gauge("svm_build_info", "Always 1", ["version", "python"], registry=registry)
        build.labels(version(), platform.python_version()).set(1)

    def write(self, batch: Sequence[Exchange]) -> None:
        """Count a batch: one update per label value, not per challenge."""
        if not batch:
            return
        tallies = Tallies((exchange.outcome, exchange.caller) for exchange in batch)
        for (outcome, caller), count in tallies.items():
            self._challenges.labels(outcome, self._caller(caller)).inc(count)
        self._bytes.inc(sum(exchange.size for exchange in batch))
        self._certified.inc(sum(exchange.certified for exchange in batch))
        self._time(batch)
        self._margin.observe(each.margin_s for each in batch if each.margin_s is not None)
        self._predictions.observe(each.prediction for each in batch if each.prediction is not None)
        self._leave([exchange for exchange in batch if exchange.outcome == "answered"])

    def _time(self, batch: Sequence[Exchange]) -> None:
        stages: dict[str, list[float]] = defaultdict(list)
        for exchange in batch:
            for stage, milliseconds in exchange.ms.items():
                stages[stage].append(milliseconds / 1000)
        for stage, seconds in stages.items():
            self._stages.observe(seconds, self._stage(stage))

    def _leave(self, answered: Sequence[Exchange]) -> None:
        """By the last member that spoke."""
        exits: dict[tuple[str, bool], list[float]] = defaultdict(list)
        for exchange in answered:
            exits[(way(exchange) or ("",))[-1], exchange.certified].append(exchange.ms.get("total", -1.0))
        for (last, certified), totals in exits.items():
            tier = self._tier(last)
            self._exits.labels(tier, str(certified).lower()).inc(len(totals))
            self._exit_s.observe([each / 1000 for each in totals if each >= 0], tier)

    def operator(self, outcome: str, seconds: float) -> None:
        """Count a request to the operator's own API; `outcome` one of a small fixed set."""
        self._operator.labels(outcome).inc()
        self._operator_s.observe(seconds)

    def refused(self, status: int, reason: str) -> None:
        """Count a request refused at the door: a dict update, since strangers may send millions."""
        key = (status, reason)
        if key not in self._refused and len(self._refused) >= REASONS:
            key = (status, OTHER)
        self._refused[key] = self._refused.get(key, 0) + 1

    def refusals(self) -> dict[tuple[int, str], int]:
        """(HTTP status, reason) -> count since start."""
        return dict(self._refused)

    def add(self, collector: Collector) -> None:
        """Read this collector at every scrape."""
        self.registry.register(collector)

    def text(self) -> bytes:
        """The exposition for `GET /metrics`."""
        return generate_latest(self.registry)

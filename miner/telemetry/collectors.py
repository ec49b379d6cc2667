"""Metrics read from snapshots at scrape: engine, chain and recorder pay nothing for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from loguru import logger
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from miner.alarms import AlarmRow
from miner.capture.figures import Figures
from miner.engine.interface import EngineHealth
from miner.jobs.job import JobRow
from miner.recorder import RecorderHealth
from miner.rewards.rows import ValidatorRow
from miner.status import ChainStatus, HotkeyRow, RewardStatus, SubnetStatus

ENGINE_STATES = ("starting", "ready", "degraded", "down", "stopped")
CHAIN_STATES = ("starting", "ok", "stale", "down", "deregistered")
SUBNET_LEVELS = ("unknown", "ok", "warn", "fail")


class Reading(Collector):
    """Calls `read` at every scrape; if that raises, the scrape goes on without and the log says why."""

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not read, since the parts may not have started yet."""
        return ()

    def collect(self) -> Iterable[Metric]:
        try:
            return list(self._read())
        except Exception:  # noqa: BLE001 - the edge of a scrape: one broken part must not hide the others
            logger.opt(exception=True).error("metrics of one part cannot be read")
            return ()


def refusal_metrics(read: Callable[[], Mapping[tuple[int, str], int]]) -> Reading:
    """`read`: (HTTP status, reason) -> count since start."""

    def metrics() -> Iterator[Metric]:
        family = CounterMetricFamily("svm_refusals", "Refused at the door", labels=["status", "reason"])
        for (status, reason), count in read().items():
            family.add_metric([str(status), reason], count)
        yield family

    return Reading(metrics)


def engine_metrics(health: Callable[[], EngineHealth]) -> Reading:
    """The engine's health as metrics."""

    def metrics() -> Iterator[Metric]:
        now = health()
        yield _gauge("engine_ready", "Whether a model answers", now.ready)
        yield _one_of("engine_state", "State of the engine", ENGINE_STATES, now.state)
        yield _gauge("engine_queued", "Requests waiting", now.queued)
        yield _gauge("engine_in_flight", "Requests being judged", now.in_flight)
        yield _gauge("engine_image_ms", "Milliseconds per image at the preferred batch size", now.image_ms)
        yield _gauge("engine_last_answer_age_seconds", "Since the last verdict", now.last_answer_age_s)
        if now.replicas is not None:
            yield _gauge("engine_replicas", "Ray replicas that answer", now.replicas)
        yield _counter("engine_restarts", "Respawns of the child", now.restarts)
        yield _counter("engine_answered", "Verdicts", now.answered)
        yield _counter("engine_shed", "Refused for lack of time", now.shed)
        yield _counter("engine_failed", "Failed", now.failed)
        yield _counter("engine_course_changes", "Changes of course under load", now.course_changes)
        if len(now.versions) > 1:
            yield _gauge("engine_early_exits", "Whether a certificate lets answers out early", not now.never)
        if now.course:
            yield _one_of("engine_course", "How much of the cascade is asked", (), now.course)
        yield _by_label("engine_batches", "Batches by size", "size", now.batch_sizes)
        yield _info("engine_info", "Model versions", {**now.versions, "device": now.device})

    return Reading(metrics)


def chain_metrics(
    chain: Callable[[], ChainStatus | Mapping[str, Any]],
    subnet: Callable[[], SubnetStatus | Mapping[str, Any]],
    reward: Callable[[], RewardStatus | Mapping[str, Any] | None],
) -> Reading:
    """The chain's, the subnet's and our own rows of the status as metrics."""

    def metrics() -> Iterator[Metric]:
        state, health, ours = chain(), subnet(), reward()
        yield _one_of("chain_state", "State of the chain connection", CHAIN_STATES, state["state"])
        yield _gauge("chain_block", "Block of the newest snapshot", state["block"])
        yield _gauge("chain_snapshot_age_seconds", "Age of the newest snapshot", state["age_s"])
        yield _gauge("chain_failures", "Refreshes that failed in a row", state["failures"])
        yield _gauge("registered", "Whether our hotkey holds a UID", state["uid"] is not None)
        yield _gauge("uid", "Our UID", state["uid"])
        yield _one_of("subnet_level", "Whether the subnet pays", SUBNET_LEVELS, health["level"])
        yield _gauge("subnet_burn_share", "Share of the incentive that is burned", health["burned"])
        yield _gauge("subnet_validators_at_work", "Validators that set weights lately", health["at_work"])
        yield _gauge("subnet_price_tao", "TAO per alpha", health["price"])
        if ours is not None:
            yield _gauge("incentive", "Our share of the subnet's incentive", ours["incentive"])
            yield _gauge("emission_alpha", "Alpha paid at the last epoch", ours["emission_alpha"])
            yield _gauge("alpha_per_day", "Alpha a day at that rate", ours["alpha_per_day"])
            yield _gauge("rank", "1 is the highest incentive", ours["rank"])
            yield _gauge("pruning_position", "Registrations until deregistration", ours["position"])

    return Reading(metrics)


def hotkey_metrics(hotkeys: Callable[[], Iterable[HotkeyRow]]) -> Reading:
    """Where each of our hotkeys stands; `chain_metrics` is about the first."""

    def metrics() -> Iterator[Metric]:
        rows = list(hotkeys())
        held = {row["hotkey"]: row["reward"] for row in rows if row["reward"] is not None}
        own = {row["hotkey"]: float(row["uid"] is not None) for row in rows}
        incentive = {hotkey: ours["incentive"] for hotkey, ours in held.items()}
        alpha = {hotkey: ours["alpha_per_day"] for hotkey, ours in held.items()}
        position = {hotkey: ours["position"] for hotkey, ours in held.items()}
        asked = {row["hotkey"]: row["challenges"] for row in rows}
        yield _labelled("hotkey_registered", "Whether it holds a UID", "hotkey", own)
        yield _labelled("hotkey_incentive", "Its share of the subnet's incentive", "hotkey", incentive)
        yield _labelled("hotkey_alpha_per_day", "Alpha a day at the last epoch's rate", "hotkey", alpha)
        yield _labelled("hotkey_pruning_position", "Registrations until deregistration", "hotkey", position)
        yield _by_label("hotkey_challenges", "Challenges by hotkey", "hotkey", asked)

    return Reading(metrics)


def reward_metrics(
    validators: Callable[[], Iterable[ValidatorRow]], alarms: Callable[[], Iterable[AlarmRow]]
) -> Reading:
    """What validators think of us, and what rings."""

    def metrics() -> Iterator[Metric]:
        rows = list(validators())
        asked = [row for row in rows if row["challenges"]]
        worst = {row["hotkey"]: row["worst"] for row in asked}
        best = {row["hotkey"]: row["best"] for row in asked}
        last = {row["hotkey"]: row["last_s"] for row in asked}
        weight = {row["hotkey"]: row["weight"] for row in rows}
        yield _labelled("twin_worst", "Least score that a validator can have for us", "caller", worst)
        yield _labelled("twin_best", "Largest score that a validator can have for us", "caller", best)
        yield _labelled("asked_timestamp_seconds", "When a validator asked last", "caller", last)
        yield _labelled("weight", "Part of a validator's weights that is ours", "caller", weight)
        yield _labelled("alarm", "What rings", "key", {row["key"]: 1.0 for row in alarms()})

    return Reading(metrics)


def job_metrics(jobs: Callable[[], Iterable[JobRow]]) -> Reading:
    """How the jobs did. Not by a label `job`: Prometheus gives that to whatever it scrapes."""

    def metrics() -> Iterator[Metric]:
        last = {row["name"]: row["last"] for row in jobs()}
        fine = {name: float(run["outcome"] == "ok") for name, run in last.items() if run}
        ran = {name: run["at_s"] for name, run in last.items() if run}
        yield _labelled("job_ok", "Whether a job's last run went well", "name", fine)
        yield _labelled("job_ran_timestamp_seconds", "When a job ran last", "name", ran)

    return Reading(metrics)


def recorder_metrics(health: Callable[[], RecorderHealth], ledger: Callable[[], tuple[int, int]]) -> Reading:
    """`ledger`: (rows waiting for the disk, rows lost since start)."""

    def metrics() -> Iterator[Metric]:
        now, (waiting, lost) = health(), ledger()
        yield _gauge("recorder_queued", "Challenges not yet written down", now.queued)
        yield _gauge("recorder_last_write_age_seconds", "Since the sinks were served", now.last_write_age_s)
        yield _counter("recorder_dropped", "Challenges lost before the sinks", now.dropped)
        yield _by_label("sink_errors", "Failed writes", "sink", now.errors)
        yield _gauge("ledger_waiting_rows", "Rows the disk has not taken yet", waiting)
        yield _counter("ledger_lost_rows", "Rows given up", lost)

    return Reading(metrics)


def capture_metrics(figures: Callable[[], Figures]) -> Reading:
    """Which pictures are kept."""

    def metrics() -> Iterator[Metric]:
        now = figures()
        yield _gauge("capture_active", "1 while pictures are kept", float(now.active))
        yield _gauge("capture_pictures", "Pictures kept", now.count)
        yield _gauge("capture_bytes", "Bytes of them", now.bytes)
        yield _by_label("capture_offers", "Answers that a policy chose", "outcome", now.outcomes)
        yield _counter("capture_dropped", "Chosen answers that found no place to wait", now.dropped)

    return Reading(metrics)


def _gauge(name: str, about: str, value: float | None) -> GaugeMetricFamily:
    """Without a sample when there is no value: absent is not zero."""
    family = GaugeMetricFamily(f"svm_{name}", about)
    if value is not None:
        family.add_metric([], float(value))
    return family


def _labelled(name: str, about: str, label: str, values: Mapping[str, float | None]) -> GaugeMetricFamily:
    """Without samples for what has no value."""
    family = GaugeMetricFamily(f"svm_{name}", about, labels=[label])
    for key, value in values.items():
        if value is not None:
            family.add_metric([key], value)
    return family


def _counter(name: str, about: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"svm_{name}", about, value=value)


def _one_of(name: str, about: str, known: Iterable[str], current: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"svm_{name}", about, labels=["state"])
    for state in dict.fromkeys([*known, current]):
        family.add_metric([state], float(state == current))
    return family


def _by_label(name: str, about: str, label: str, values: Mapping[Any, float]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"svm_{name}", about, labels=[label])
    for key, value in values.items():
        family.add_metric([str(key)], value)
    return family


def _info(name: str, about: str, values: Mapping[str, str]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"svm_{name}", about, labels=["name", "value"])
    for key, value in values.items():
        family.add_metric([key, value], 1)
    return family

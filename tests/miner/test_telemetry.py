"""Telemetry: the metrics parse and stay bounded, log lines cannot be forged, files stay bounded."""

from __future__ import annotations

import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger
from prometheus_client.parser import text_string_to_metric_families

from miner.engine.interface import EngineHealth
from miner.recorder import Recorder
from miner.records import Exchange
from miner.status import UNKNOWN_SUBNET, Tally
from miner.telemetry import (
    Metrics,
    RequestLog,
    chain_metrics,
    engine_metrics,
    hotkey_metrics,
    job_metrics,
    recorder_metrics,
    reward_metrics,
    set_up_logging,
)
from miner.telemetry.metrics import CALLERS, REASONS, STAGES, Capped
from miner.telemetry.request_log import json_line, readable


def exchange(number: int = 0, **changes) -> Exchange:
    values = {
        "id": f"id-{number}",
        "at_ns": 1_800_000_000_123_000_000,
        "hotkey": "ours",
        "caller": "5Validator" + "x" * 38,
        "address": "192.0.2.1",
        "client_version": "10.5.0",
        "status": 200,
        "outcome": "answered",
        "size": 16_000,
        "prediction": 0.873,
        "path": ("classifier",),
        "ms": {"queue": 1.0, "classifier": 20.0, "total": 25.0},
        "margin_s": 7.4,
    }
    return Exchange(**{**values, **changes})


def samples(metrics: Metrics) -> dict[tuple[str, frozenset], float]:
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, /, **labels: str) -> float:
    return samples(metrics)[(f"svm_{name}", frozenset(labels.items()))]


@pytest.fixture
def stream():
    text = io.StringIO()
    set_up_logging(sink=text)
    yield text
    logger.remove()
    logging.basicConfig(force=True)


def test_challenges_are_counted_by_outcome_and_caller():
    metrics = Metrics()
    metrics.write(
        [exchange(caller="a"), exchange(caller="a"), exchange(caller="b", outcome="shed", prediction=None)]
    )
    assert value(metrics, "challenges_total", outcome="answered", caller="a") == 2
    assert value(metrics, "challenges_total", outcome="shed", caller="b") == 1
    assert value(metrics, "prediction_count") == 2
    assert value(metrics, "stage_seconds_sum", stage="total") == pytest.approx(0.075)
    assert value(metrics, "deadline_margin_seconds_count") == 3
    assert value(metrics, "body_bytes_total") == 48_000


def test_labels_never_grow_past_their_caps():
    metrics = Metrics()
    for number in range(500):
        metrics.write([exchange(caller=f"caller-{number}", ms={f"stage-{number}": 1.0})])
        metrics.refused(400 + number, f"reason-{number}")
    found = samples(metrics)

    def labelled(name: str, label: str) -> set[str]:
        return {dict(labels)[label] for sample, labels in found if sample == f"svm_{name}"}

    assert len(labelled("challenges_total", "caller")) == CALLERS + 1
    assert len(labelled("stage_seconds_count", "stage")) == STAGES + 1
    assert len(labelled("refusals_total", "reason")) == REASONS + 1
    assert value(metrics, "challenges_total", outcome="answered", caller="other") == 500 - CALLERS


@given(st.lists(st.text(max_size=5), max_size=50), st.integers(0, 10))
def test_a_capped_label_is_itself_or_other(values, limit):
    capped = Capped(limit)
    seen = [capped(value) for value in values]
    assert all(out in (value, "other") for value, out in zip(values, seen, strict=True))
    assert len(set(seen) - {"other"}) <= limit
    assert seen == [capped(value) for value in values] or len(set(values)) > limit


def test_refusals_by_status_and_reason():
    metrics = Metrics()
    for _ in range(3):
        metrics.refused(403, "stranger")
    assert value(metrics, "refusals_total", status="403", reason="stranger") == 3
    assert metrics.refusals() == {(403, "stranger"): 3}


def test_every_part_is_read_at_scrape():
    metrics = Metrics()
    health = EngineHealth(
        True, "ready", versions={"classifier": "abc"}, queued=3, restarts=2, batch_sizes={8: 5}
    )
    chain = {"state": "stale", "reason": "", "age_s": 70.0, "block": 123, "uid": 5, "failures": 2}
    reward = {
        "incentive": 0.5,
        "emission_alpha": 148.0,
        "alpha_per_day": 2960.0,
        "tao_per_day": 9.0,
        "rank": 1,
        "position": None,
    }
    metrics.add(engine_metrics(lambda: health))
    metrics.add(chain_metrics(lambda: chain, lambda: {**UNKNOWN_SUBNET, "burned": 1.0}, lambda: reward))
    metrics.add(recorder_metrics(Recorder([Tally()]).health, lambda: (4, 1)))
    assert value(metrics, "engine_queued") == 3 and value(metrics, "engine_restarts_total") == 2
    assert value(metrics, "engine_batches_total", size="8") == 5
    assert value(metrics, "engine_info", name="classifier", value="abc") == 1
    assert (
        value(metrics, "chain_state", state="stale") == 1 and value(metrics, "chain_state", state="ok") == 0
    )
    assert value(metrics, "chain_snapshot_age_seconds") == 70 and value(metrics, "registered") == 1
    assert value(metrics, "subnet_burn_share") == 1 and value(metrics, "rank") == 1
    assert value(metrics, "ledger_waiting_rows") == 4 and value(metrics, "ledger_lost_rows_total") == 1
    assert value(metrics, "sink_errors_total", sink="Tally") == 0
    assert ("svm_pruning_position", frozenset()) not in samples(metrics), "absent is not zero"


def test_each_of_several_hotkeys_has_its_place():
    reward = {"incentive": 0.25, "alpha_per_day": 740.0, "position": 3}
    held = {"hotkey": "5One", "uid": 4, "reward": reward, "challenges": 7}
    gone = {"hotkey": "5Two", "uid": None, "reward": None, "challenges": 0}
    metrics = Metrics()
    metrics.add(hotkey_metrics(lambda: [held, gone]))
    assert value(metrics, "hotkey_registered", hotkey="5One") == 1
    assert value(metrics, "hotkey_registered", hotkey="5Two") == 0
    assert value(metrics, "hotkey_incentive", hotkey="5One") == 0.25
    assert value(metrics, "hotkey_challenges_total", hotkey="5One") == 7
    assert ("svm_hotkey_incentive", frozenset({("hotkey", "5Two")})) not in samples(metrics)


def test_validators_alarms_and_jobs_are_read_too():
    row = {"hotkey": "5Vali", "challenges": 3, "worst": 0.25, "best": 0.5, "last_s": 7.0, "weight": None}
    never = {**row, "hotkey": "5Never", "challenges": 0, "weight": 0.125}
    alarms = [{"key": "halt", "level": "fail", "text": "", "since_s": 0.0}]
    ran = {"at_s": 5.0, "trigger": "schedule", "seconds": 1.0, "outcome": "timeout", "detail": ""}
    jobs = [{"name": "backup", "last": ran}, {"name": "papers", "last": None}]
    metrics = Metrics()
    metrics.add(reward_metrics(lambda: [row, never], lambda: alarms))
    metrics.add(job_metrics(lambda: jobs))
    text = metrics.text().decode()
    for line in (
        'svm_twin_worst{caller="5Vali"} 0.25',
        'svm_twin_best{caller="5Vali"} 0.5',
        'svm_weight{caller="5Never"} 0.125',
        'svm_alarm{key="halt"} 1.0',
        'svm_job_ok{name="backup"} 0.0',
        'svm_job_ran_timestamp_seconds{name="backup"} 5.0',
    ):
        assert line in text
    assert "5Never" not in text.replace(line_of(text, "svm_weight{"), "") and "papers" not in text


def line_of(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


def test_a_part_that_cannot_be_read_does_not_hide_the_others(stream):
    metrics = Metrics()

    def broken() -> EngineHealth:
        raise RuntimeError("engine is gone")

    metrics.add(engine_metrics(broken))
    metrics.write([exchange()])
    assert value(metrics, "body_bytes_total") == 16_000
    assert "engine is gone" in stream.getvalue()


def test_registering_reads_nothing():
    Metrics().add(engine_metrics(lambda: pytest.fail("read before the engine exists")))


def test_the_readable_line_says_what_happened(stream):
    RequestLog(None).write(
        [exchange(notes=("cached",)), exchange(outcome="shed", prediction=None, status=503)]
    )
    answered, shed = stream.getvalue().splitlines()
    for words in (
        "answered",
        "p=0.873",
        "5Valid…",
        "classifier 20.0",
        "left 7.4 s",
        "16.0 kB",
        "id-0",
        "(cached)",
    ):
        assert words in answered
    assert "shed" in shed and "HTTP 503" in shed


@given(version=st.text(), address=st.text())
def test_a_caller_cannot_forge_or_split_a_line(version, address):
    one = exchange(client_version=version, address=address)
    assert readable(one).count("\n") == 1 and readable(one).endswith("\n")
    line = json_line(one)
    assert line.count("\n") == 1 and line.isascii() and json.loads(line)["client_version"] == version


def test_the_json_file_is_bounded_and_private(tmp_path, stream):
    path = tmp_path / "challenges.jsonl"
    log = RequestLog(path, max_bytes=3000, keep=2)
    for number in range(60):
        log.write([exchange(number)])
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files][-2:] == ["challenges.jsonl.1", "challenges.jsonl.2"] and len(
        files
    ) <= 3
    assert sum(file.stat().st_size for file in files) < 3 * 3600
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)
    newest = [json.loads(line)["id"] for file in files for line in file.read_text().splitlines()]
    assert "id-59" in newest


def test_the_readable_line_is_out_before_the_file_fails(tmp_path, stream):
    with pytest.raises(OSError):
        RequestLog(tmp_path).write([exchange()])
    assert "id-0" in stream.getvalue()


def test_the_log_takes_in_the_standard_library(stream):
    logging.getLogger("uvicorn.error").error("port %d is taken", 8091)
    logging.getLogger("bittensor").info("chatter")
    assert "uvicorn.error: port 8091 is taken" in stream.getvalue() and "chatter" not in stream.getvalue()


@pytest.mark.parametrize(("flags", "shown"), [({}, "I"), ({"debug": True}, "ID"), ({"trace": True}, "IDT")])
def test_levels(flags, shown):
    text = io.StringIO()
    set_up_logging(sink=text, **flags)
    logger.info("I{}", "")
    logger.debug("D{}", "")
    logger.trace("T{}", "")
    logger.remove()
    logging.basicConfig(force=True)
    assert "".join(line[-1] for line in text.getvalue().splitlines()) == shown


def test_a_traceback_never_shows_the_values_of_variables(stream):
    secret = "-".join(["the", "hotkey", "seed"])
    try:
        int("x" if secret else "")
    except ValueError:
        logger.opt(exception=True).error("failed")
    assert "invalid literal" in stream.getvalue() and secret not in stream.getvalue()


def test_the_tally_counts_and_keeps_the_last():
    tally = Tally([exchange(2), exchange(1)])
    tally.write([exchange(3), exchange(4, outcome="late", ms={})])
    assert tally.outcomes() == {"answered": 1, "late": 1}
    assert [row["id"] for row in tally.recent()] == ["id-4", "id-3", "id-2", "id-1"]
    assert tally.recent()[0]["ms"] is None and tally.recent()[1]["ms"] == 25.0
    tally.write([exchange(number) for number in range(100)])
    assert len(tally.recent()) == 30

"""OpenTelemetry: a span per challenge with its stages below it; nothing of it unless it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from miner.records import Exchange
from miner.settings import SettingsError, Tracing
from miner.telemetry.traces import Traces, create_traces

AT = 1_800_000_000 * 10**9
MS = {"auth": 0.2, "body": 0.3, "engine": 9.0, "total": 10.0, "classifier": 7.5}


def exchange(number: int = 1, outcome: str = "answered", **more) -> Exchange:
    fields = {"prediction": 0.75, "path": ("classifier",), "ms": MS, "margin_s": 7.0, **more}
    return Exchange(f"a-{number}", AT, "ours", "vali", "192.0.2.7", "10", 200, outcome, 500, "ab", **fields)


@pytest.fixture
def memory():
    return InMemorySpanExporter()


def traces(memory, share=1.0) -> Traces:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    return Traces(provider, share)


def test_a_challenge_is_a_span_with_its_stages_in_order(memory):
    traces(memory).write([exchange()])
    *stages, whole = memory.get_finished_spans()
    assert whole.name == "challenge" and (whole.start_time, whole.end_time) == (AT, AT + 10_000_000)
    assert whole.attributes["validator"] == "vali" and whole.attributes["hotkey"] == "ours"
    assert whole.attributes["prediction"] == 0.75 and whole.attributes["ms.classifier"] == 7.5
    assert [span.name for span in stages] == ["auth", "body", "engine"]
    assert all(span.parent.span_id == whole.context.span_id for span in stages)
    ends = [(span.start_time, span.end_time) for span in stages]
    assert ends[0][0] == AT and ends[0][1] == ends[1][0] and ends[2][1] <= whole.end_time


def test_what_went_wrong_is_an_error(memory):
    bare = {"prediction": None, "path": (), "ms": {}, "margin_s": None}
    traces(memory).write(
        [exchange(1), exchange(2, "late"), exchange(3, "error", **bare), exchange(4, "shed")]
    )
    found = {span.attributes["request.id"]: span for span in memory.get_finished_spans() if not span.parent}
    codes = [found[f"a-{number}"].status.status_code for number in (1, 2, 3, 4)]
    assert codes == [StatusCode.UNSET, StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET]
    assert "prediction" not in found["a-3"].attributes


def test_a_share_is_told_and_always_the_same_ones(memory):
    def told():
        memory.clear()
        traces(memory, share=0.25).write([exchange(number) for number in range(400)])
        return {span.attributes["request.id"] for span in memory.get_finished_spans() if not span.parent}

    assert 60 < len(told()) < 140 and told() == told()


def test_without_an_endpoint_nothing_is_made_or_imported():
    assert create_traces(Tracing(), "1") is None
    code = "import sys, miner.app; assert not [n for n in sys.modules if n.startswith('opentelemetry')]"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_missing_extra_is_said_at_the_start(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with pytest.raises(SettingsError, match=r"streetvision-miner\[otel\]"):
        create_traces(Tracing(endpoint="http://127.0.0.1:9/v1/traces"), "1")


def test_a_collector_that_is_away_harms_nothing():
    made = create_traces(Tracing(endpoint="http://127.0.0.1:9/v1/traces"), "1")
    assert made is not None
    made.write([exchange()])
    made.close()

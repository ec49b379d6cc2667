"""A trace per challenge, for OpenTelemetry: made from its record when the answer is long out.

Nothing is measured for it: the request carries its stages' times anyway. The extra `otel` is imported only
when `tracing.endpoint` is set.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2s
from typing import Any

from miner.records import Exchange
from miner.settings import SettingsError, Tracing

NAME = "streetvision-miner"
MS = 1_000_000
EXPORT_S = 2.0
"""Seconds that one delivery may take, retries included: a stopping miner waits for no more."""
WIRE_STAGES = ("auth", "body", "engine")
"""Stages of the front, in the order in which they follow each other; the others lie within "engine"."""


class Traces:
    """A batch of the recorder's -> spans: one per challenge, its stages below it.

    Of every `1 / share` challenges one is told, chosen by its id, so that a restart chooses alike. Whoever
    collects them may be slow or away: the exporter drops what it cannot hand over.
    """

    def __init__(self, provider: Any, share: float) -> None:
        from opentelemetry import trace

        self._trace = trace
        self._provider, self._tracer = provider, provider.get_tracer(NAME)
        self._below = round(share * 2**32)

    def write(self, batch: Sequence[Exchange]) -> None:
        for exchange in batch:
            if int(_digest(exchange.id), 16) < self._below:
                self._tell(exchange)

    def close(self) -> None:
        """Hand over what waits, for at most the exporter's own patience."""
        self._provider.shutdown()

    def _tell(self, exchange: Exchange) -> None:
        start = exchange.at_ns
        end = start + round(exchange.ms.get("total", 0.0) * MS)
        span = self._tracer.start_span("challenge", start_time=start, attributes=_about(exchange))
        if exchange.outcome not in ("answered", "shed"):
            span.set_status(self._trace.StatusCode.ERROR, exchange.outcome)
        below = self._trace.set_span_in_context(span)
        at = start
        for stage in WIRE_STAGES:
            took = round(exchange.ms.get(stage, 0.0) * MS)
            if took:
                self._stage(stage, at, at + took, below)
            at += took
        span.end(end_time=max(end, at))

    def _stage(self, name: str, start: int, end: int, below: Any) -> None:
        self._tracer.start_span(name, context=below, start_time=start).end(end_time=end)


def check_tracing(section: Tracing) -> None:
    """Raises SettingsError where an endpoint is set and the extra is missing."""
    if section.endpoint is None:
        return
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.resources
        import opentelemetry.sdk.trace.export  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            "tracing.endpoint is set, and OpenTelemetry is not installed: "
            "pip install 'streetvision-miner[otel]'"
        ) from error


def create_traces(section: Tracing, version: str) -> Traces | None:
    """None without an endpoint. Raises SettingsError where the extra is missing."""
    check_tracing(section)
    if section.endpoint is None:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    about = Resource.create({"service.name": NAME, "service.version": version})
    provider = TracerProvider(resource=about, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=section.endpoint, timeout=EXPORT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Traces(provider, section.share)


def _about(exchange: Exchange) -> dict[str, Any]:
    """Attributes of a challenge's span; numbers that are not known are left out."""
    given = {
        "request.id": exchange.id,
        "hotkey": exchange.hotkey,
        "validator": exchange.caller,
        "outcome": exchange.outcome,
        "http.response.status_code": exchange.status,
        "http.request.body.size": exchange.size,
        "prediction": exchange.prediction,
        "certified": exchange.certified,
        "path": list(exchange.path),
        "notes": list(exchange.notes),
        "margin_s": exchange.margin_s,
        **{f"ms.{stage}": ms for stage, ms in exchange.ms.items()},
    }
    return {name: value for name, value in given.items() if value is not None}


def _digest(text: str) -> str:

    return blake2s(text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()

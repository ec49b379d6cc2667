"""The one interface between the front and whatever judges: thread, child process, replicas on a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypedDict

from models.core import Request, Verdict


class Refused(Exception):
    """The engine will not judge this request; `reason` is a short phrase for logs, metrics and the caller."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Shed(Refused):
    """It cannot be answered in time (predicted finish too late, or queues full): at once. HTTP 503."""


class BadImage(Refused):
    """The bytes are no image we judge (corrupt, too large decoded, ...). The caller's fault: HTTP 422."""


class Unavailable(Refused):
    """No model is alive, or none spoke before the deadline. HTTP 503."""


class SeatRow(TypedDict):
    """A place for an engine child, for status and health.

    `state`  "waiting" (for its turn, or for memory), "loading", "serving", "ready" (stands by), "suspected"
             (silent, or too long at one batch: another one serves), "backoff" (died; the next comes soon) or
             "crash_loop" (died young too often; a long pause).
    """

    name: str
    state: str
    device: str
    pid: int | None
    restarts: int
    detail: str


@dataclass(frozen=True, slots=True)
class EngineHealth:
    """A snapshot for status, metrics and the watchdog.

    `ready`        a model is loaded and has judged its warm-up.
    `state`        "starting", "ready", "degraded", "down" or "stopped"; `detail` says why in a few words.
    `device`       "cpu", "cuda:0", ...
    `versions`     tier name -> model version in service.
    `queued`, `in_flight`  requests waiting and being judged now.
    `restarts`     how often the child was respawned since start.
    `answered`, `shed`, `failed`  counts since start.
    `image_ms`     the engine's current estimate of milliseconds per image at its preferred batch size.
    `course`       how much of the cascade is asked under this load ("" with one member), `course_why` since
                   its last change, of which there were `course_changes`; `course_log` the newest of
                   them, oldest first: wall-clock seconds, course, why.
    `absent`       members that could not be loaded -> why; the others go on without them.
    `never`        why nobody is answered early under a certificate; "" when somebody is, or with one member.
    `early_by`     file of the certificate under which somebody may be answered early; "" when nobody may.
    `moments`      stages of the serving child's start -> when it had done them (monotonic s).
    `seats`        the places of its child processes; none where models run in a thread.
    `replicas`     how many answer on a Ray cluster; None where no such cluster judges.
    `last_answer_age_s`  seconds since the last verdict or heartbeat judgement; None before the first.
    """

    ready: bool
    state: str
    device: str = "cpu"
    detail: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    queued: int = 0
    in_flight: int = 0
    restarts: int = 0
    answered: int = 0
    shed: int = 0
    failed: int = 0
    image_ms: float = 0.0
    last_answer_age_s: float | None = None
    pid: int | None = None
    batch_sizes: dict[int, int] = field(default_factory=dict)
    course: str = ""
    course_why: str = ""
    course_changes: int = 0
    course_log: list[list[float | str]] = field(default_factory=list)
    never: str = ""
    early_by: str = ""
    absent: dict[str, str] = field(default_factory=dict)
    moments: dict[str, float] = field(default_factory=dict)
    seats: list[SeatRow] = field(default_factory=list)
    replicas: int | None = None


class Engine(Protocol):
    """`start` returns once the engine is starting, not ready: readiness is `health().ready`."""

    async def start(self) -> None: ...

    async def submit(self, request: Request) -> Verdict:
        """Judge a request before its deadline; it has spoken. Raises Shed, BadImage or Unavailable."""
        ...

    def health(self) -> EngineHealth: ...

    async def trace(self, seconds: float, file: Path) -> list[tuple[str, float]]:
        """See `models.traced.trace`, of the process that judges now. Raises ValueError where it cannot be."""
        ...

    async def stop(self) -> None:
        """Finish what is in flight (bounded by the deadlines), then end. Idempotent."""
        ...

"""What is known of one server, for status and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal[
    "waiting",  # for its turn or for room on its GPUs; no process yet
    "refused",  # its flags cannot work on this host; never started
    "starting",  # a process imports, or nothing answers yet
    "gated",  # imported; waits for room to load its weights
    "loading",  # loads weights
    "probing",  # ready by its own word; asked about the probe picture
    "ready",
    "paused",  # healthy by its own word, and told to wait
    "unwell",  # probes fail, not yet for long enough to restart it
    "backoff",  # died; the next start is due soon
    "crash_loop",  # died young too often in a row; a long pause
    "unreachable",  # elsewhere, and no answer to the probe
    "stopped",
]
STATES: tuple[str, ...] = State.__args__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class ServerHealth:
    """A snapshot. `detail` says why in a few words, without keys.

    `here`      whether it is a process of this host, started by us.
    `restarts`  how often it was started again since our start.
    `probe_ms`  the last probe's time; None before the first.
    `answered_age_s`  seconds since the last probe that was answered; None before the first.
    """

    name: str
    url: str
    model: str
    here: bool
    state: State
    detail: str = ""
    pid: int | None = None
    restarts: int = 0
    probe_ms: float | None = None
    answered_age_s: float | None = None

    @property
    def ready(self) -> bool:
        return self.state == "ready"

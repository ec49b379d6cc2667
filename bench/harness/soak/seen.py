"""What a soak has seen, in plain types."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.soak.books import Books
from harness.soak.flat import Trend


@dataclass(slots=True)
class Seen:
    """What one fault did. `recovered_s` from its end until all was well again; `lost` of the challenges in
    flight, `refused` and `unreached` (nobody listened) at the door; `live` and `ready` what the health
    endpoints said."""

    name: str
    injected: str
    behaviour: str
    held_s: float = 0.0
    recovered_s: float = 0.0
    lost: int = 0
    answered: int = 0
    shed: int = 0
    refused: int = 0
    unreached: int = 0
    live: list[str] = field(default_factory=list)
    ready: list[str] = field(default_factory=list)
    skipped: str = ""
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Report:
    """`outcomes` of the honest validators' challenges: "lost" ones were admitted and not in flight at a
    SIGKILL or SIGSTOP ("cut"); `late` by the ledger; `wrong` what hostile clients should not have got."""

    seconds: float
    outcomes: dict[str, int]
    p50_ms: float
    p95_ms: float
    max_ms: float
    late: int
    lost: list[str]
    books: Books
    faults: list[Seen]
    trends: list[Trend]
    endings: dict[str, dict[str, int]]
    wrong: dict[str, int]
    starts: int
    notes: list[str]

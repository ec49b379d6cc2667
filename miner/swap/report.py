"""What became of a swap, in words for the ledger and the operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

STEPS = (
    "verify",
    "room",
    "baseline",
    "load",
    "golden",
    "shadow",
    "gate",
    "exchange",
    "promoted",
    "drain",
)
"""In order. `exchange` writes the pointer, `promoted` lets the new engine serve, `drain` ends the old one."""

Note = Callable[[str, Mapping[str, Any]], None]
"""Takes an event of the ledger: its kind and what to say."""

Outcome = Literal["promoted", "rolled_back", "quarantined", "postponed"]


class Unfit(Exception):
    """The candidate will not serve. `blame`: it is at fault, and is not tried again by itself; `counts`: it
    had its chance, of which there are so many."""

    def __init__(self, why: str, *, blame: bool = True, counts: bool = False) -> None:
        super().__init__(why)
        self.why, self.blame, self.counts = why, blame, counts


@dataclass(frozen=True, slots=True)
class Report:
    """`version` None: what the settings name. `step` the last one reached; `why` in a sentence, "" when all
    went well; `by` who asked; `figures` what was measured on the way."""

    tier: str
    version: str | None
    outcome: Outcome
    step: str
    why: str
    forced: bool
    by: str
    seconds: float
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fine(self) -> bool:
        return self.outcome in ("promoted", "rolled_back")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def sentence(self) -> str:
        forced = ", forced" if self.forced else ""
        name = self.version or "the settings' own"
        if self.fine:
            return f"{self.tier} {name} serves ({self.outcome.replace('_', ' ')}{forced})"
        return f"{self.tier} {name} {self.outcome} at {self.step}{forced}: {self.why}"

"""What one check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail", "skip"]
"""Fine; fine for now; the miner cannot earn like this; could not be looked at."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` its name; `reason` a sentence about what was seen; `remedy` what to do, empty when nothing."""

    check: str
    level: Level
    reason: str
    remedy: str = ""


def ok(check: str, reason: str) -> Finding:
    return Finding(check, "ok", reason)


def warn(check: str, reason: str, remedy: str) -> Finding:
    return Finding(check, "warn", reason, remedy)


def fail(check: str, reason: str, remedy: str) -> Finding:
    return Finding(check, "fail", reason, remedy)


def skip(check: str, reason: str) -> Finding:
    return Finding(check, "skip", reason)

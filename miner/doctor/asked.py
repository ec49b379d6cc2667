"""Whether validators ask this miner: what its own ledger says, also while it is down."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from miner.doctor.finding import Finding, ok, skip, warn
from miner.ledger import LEDGER_NAME, LedgerUnreadable, recent

QUIET_S = 2 * 3600.0
"""A full subnet's validators ask every five minutes between them."""


def challenges(data: Path, wall: Callable[[], float] = time.time) -> Finding:
    """The newest challenge of the ledger in the data folder."""
    try:
        newest = recent(data / LEDGER_NAME, 1)
    except LedgerUnreadable as error:
        return warn(
            "challenges",
            f"{error}.",
            "streetvision-miner ledger check says more; its copies are in the folder backups.",
        )
    if not newest:
        return skip("challenges", "No validator has asked here yet.")
    quiet_s = wall() - newest[0].at_ns / 1e9
    said = f"The last challenge came {quiet_s / 60:,.0f} min ago"
    if quiet_s < QUIET_S:
        return ok("challenges", f"{said}.")
    remedy = "Read the findings on registration, subnet and reachable; the runbook NoChallenges has the rest."
    return warn("challenges", f"{said}: validators do not ask this miner now.", remedy)

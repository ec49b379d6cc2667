"""What the page draws over time, read from the ledger in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from miner.control import Command
from miner.ledger import LedgerUnreadable, payouts
from miner.ledger.slices import slices
from miner.rewards.history import by_day

EPOCHS = 10**5
"""Of 72 minutes: thirteen years."""
SLICES = 300

Twins = Callable[[], Sequence[Mapping[str, Any]]]


def history_commands(path: Path, hotkey: str, twins: Twins) -> dict[str, Command]:
    """Commands for the page. `path` of the ledger; `twins` a `ValidatorRow` for each validator."""

    async def rewards_history() -> dict[str, Any]:
        """{"days": [{"date", "alpha", "tao", "epochs", "incentive", "rank"}], "twins": rows}."""
        days = by_day(await _read(payouts, path, EPOCHS, hotkey))
        return {"days": [asdict(day) | {"date": str(day.date)} for day in days], "twins": list(twins())}

    async def accuracy_history() -> list[dict[str, Any]]:
        """The newest slices, newest first; see `ledger.slices`."""
        return await _read(slices, path, SLICES)

    return {"rewards_history": rewards_history, "accuracy_history": accuracy_history}


async def _read(read: Callable[..., list[Any]], *given: Any) -> list[Any]:
    try:
        return await asyncio.to_thread(read, *given)
    except LedgerUnreadable as error:
        raise ValueError(str(error)) from error

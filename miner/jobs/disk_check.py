"""The job that watches the disk."""

from __future__ import annotations

from collections.abc import Callable

from miner.alarms import Alarms
from miner.disk import MB, Disk
from miner.jobs.job import Context, Run

KIND = "disk"
LEDGER = "ledger"


def disk_check(disk: Disk, alarms: Alarms, damage: Callable[[], str] = str) -> Run:
    """Rings while there is no room: capture and backups wait then. And, until the next start, when the ledger
    was found damaged: `damage` says it in a sentence."""

    async def run(_: Context) -> str:
        if said := damage():
            alarms.ring(LEDGER, "fail", f"{said[0].upper()}{said[1:]}. See `streetvision-miner ledger`.")
        free = f"{disk.look() / MB:,.0f} MB free"
        if disk.low:
            alarms.ring(
                KIND, "fail", f"The disk is almost full: {free}. Nothing is captured, no copy is made."
            )
            return f"almost full: {free}"
        alarms.end(KIND)
        return free

    return run

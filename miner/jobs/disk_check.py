"""The job that watches the disk."""

from __future__ import annotations

from miner.alarms import Alarms
from miner.disk import MB, Disk
from miner.jobs.job import Context, Run

KIND = "disk"


def disk_check(disk: Disk, alarms: Alarms) -> Run:
    """Rings while there is no room: capture and backups wait then."""

    async def run(_: Context) -> str:
        free = f"{disk.look() / MB:,.0f} MB free"
        if disk.low:
            alarms.ring(
                KIND, "fail", f"The disk is almost full: {free}. Nothing is captured, no copy is made."
            )
            return f"almost full: {free}"
        alarms.end(KIND)
        return free

    return run

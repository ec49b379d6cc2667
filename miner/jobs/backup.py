"""The job that copies the ledger."""

from __future__ import annotations

from pathlib import Path

from miner.disk import MB, Disk
from miner.jobs.blocking import in_thread
from miner.jobs.job import Context, JobFailed, Run
from miner.ledger.backup import BackupError, back_up, name_of, thin


def backup(ledger: Path, folder: Path, keep: int, disk: Disk) -> Run:
    """Makes a copy in `folder` and keeps the newest `keep`; none at all when `keep` is 0."""

    def run(context: Context) -> str:
        if keep == 0:
            return "off: data.backups is 0"
        if disk.low:
            raise JobFailed("the disk is almost full")
        if not ledger.exists():
            return "there is no ledger yet"
        try:
            copy = back_up(ledger, folder / name_of(context.at_s))
            gone = thin(folder, keep)
        except (BackupError, OSError) as error:
            raise JobFailed(str(error)) from error
        return f"{copy.name}, {copy.stat().st_size / MB:,.1f} MB, checked; {len(gone)} old ones deleted"

    return in_thread(run)

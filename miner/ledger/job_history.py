"""Reading what the jobs did. Raises LedgerUnreadable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from miner.ledger.access import reading

FIELDS = ("job", "at_s", "trigger", "seconds", "outcome", "detail")


def job_runs(path: Path, limit: int = 50, job: str | None = None) -> list[dict[str, Any]]:
    """The newest runs, newest first: {"job", "at_s", "trigger", "seconds", "outcome", "detail"}."""
    where, bound = ("WHERE job = ?", (job,)) if job else ("", ())
    query = (
        f"SELECT job, at_ns / 1e9, trigger, seconds, outcome, detail FROM job_runs {where} "
        "ORDER BY at_ns DESC, rowid DESC LIMIT ?"
    )
    with reading(path) as db:
        rows = db.execute(query, (*bound, limit)).fetchall() if db else []
    return [dict(zip(FIELDS, row, strict=True)) for row in rows]


def last_job_runs(path: Path) -> dict[str, dict[str, Any]]:
    """Job -> its newest run, without the job's name."""
    # with max(), SQLite takes the other columns from its row
    query = "SELECT job, max(at_ns) / 1e9, trigger, seconds, outcome, detail FROM job_runs GROUP BY job"
    with reading(path) as db:
        rows = db.execute(query).fetchall() if db else []
    return {row[0]: dict(zip(FIELDS[1:], row[1:], strict=True)) for row in rows}


def paused_jobs(path: Path) -> set[str]:
    """Names of the jobs that are paused."""
    with reading(path) as db:
        rows = db.execute("SELECT job FROM job_pauses WHERE at_ns > 0").fetchall() if db else []
    return {job for (job,) in rows}

"""The jobs as a table, with a running miner and without one."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from miner.jobs.job import JobRow, LastRun, span

STYLES = {"ok": "green", "failed": "bold red", "timeout": "bold red", "missed": "yellow"}


def jobs_view(rows: Sequence[JobRow], now_s: float) -> RenderableType:
    """Of a running miner. `now_s` is the wall clock, which the schedule goes by outside a rehearsal."""
    table = Table("Job", "When", "Last", "Outcome", "Took", "Next", "Result")
    for row in rows:
        state = "running" if row["running"] else "paused" if row["paused"] else _next(row, now_s)
        table.add_row(
            row["name"], row["when"], *_last(row["last"]), state, _result(row["last"]) or row["about"]
        )
    return table


def runs_view(runs: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Runs from the ledger, newest first."""
    if not runs:
        return "No job has run yet."
    table = Table("Job", "Began", "Outcome", "Took", "By", "Result")
    for run in runs:
        at, outcome, took = _last(run)
        table.add_row(run["job"], at, outcome, took, run["trigger"], run["detail"])
    return table


def _last(run: Any) -> tuple[str, Text, str]:
    if run is None:
        return "-", Text("-"), "-"
    at = time.strftime("%m-%d %H:%M:%S", time.localtime(run["at_s"]))
    return at, Text(run["outcome"], style=STYLES.get(run["outcome"], "")), f"{run['seconds']:.1f} s"


def _result(run: LastRun | None) -> str:
    return "" if run is None else run["detail"]


def _next(row: JobRow, now_s: float) -> str:
    if row["next_s"] is None:
        return "-"
    left = max(0.0, row["next_s"] - now_s)
    return "now" if left < 1 else f"in {span(round(left) if left < 120 else round(left / 60) * 60)}"

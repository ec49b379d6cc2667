"""`streetvision-miner jobs`: asks the running miner; without one, shows what the ledger knows."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import typer

from miner.control import SOCKET_NAME, NotRunning, call
from miner.jobs.view import jobs_view, runs_view
from miner.ledger import LEDGER_NAME, job_runs
from miner.passing import SettingsGroup, settings_of
from miner.settings import Settings
from miner.terminal import echo

ANSWER_S = 30.0
POLL_S = 1.0
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="Name of the job, as the table has it.")]
app = typer.Typer(
    cls=SettingsGroup, help="What runs by the clock: last and next runs, and what came of them."
)


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="jobs")


@app.callback(invoke_without_command=True)
def jobs(
    context: typer.Context,
    as_json: AsJson = False,
    runs: Annotated[int, typer.Option(min=0, help="Show the last so many runs from the ledger.")] = 0,
    job: Annotated[str | None, typer.Option(help="Of this job alone.")] = None,
) -> None:
    """What runs by the clock. Without a running miner its last runs, and exit status 1."""
    if context.invoked_subcommand is not None:
        return
    settings = settings_of(context)
    if runs or job:
        _runs(settings, as_json, runs or 20, job)
        return
    try:
        rows = call(settings.data.path / SOCKET_NAME, "jobs")
    except NotRunning:
        _runs(settings, as_json, 20, None)
        raise typer.Exit(1) from None
    echo(json.dumps(rows, indent=2) if as_json else jobs_view(rows, time.time()))


@app.command()
def run(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Have the miner run a job now, and wait for it. Exit status 1 when it does not end well."""
    settings = settings_of(context)
    row = _ask(settings, "job_run", name)
    while row["running"]:
        time.sleep(POLL_S)
        row = next(one for one in _ask(settings, "jobs") if one["name"] == name)
    _show(row, as_json)
    raise typer.Exit(0 if row["last"] is not None and row["last"]["outcome"] == "ok" else 1)


@app.command()
def pause(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Let a job's times pass by, also over restarts, until it is resumed."""
    _show(_ask(settings_of(context), "job_pause", name), as_json)


@app.command()
def resume(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Let a paused job run again."""
    _show(_ask(settings_of(context), "job_resume", name), as_json)


def _ask(settings: Settings, command: str, name: str | None = None) -> Any:
    args = {} if name is None else {"name": name}
    return call(settings.data.path / SOCKET_NAME, command, timeout_s=ANSWER_S, **args)


def _show(row: Any, as_json: bool) -> None:
    echo(json.dumps(row, indent=2) if as_json else jobs_view([row], time.time()))


def _runs(settings: Settings, as_json: bool, limit: int, job: str | None) -> None:
    found = job_runs(settings.data.path / LEDGER_NAME, limit, job)
    echo(json.dumps(found, indent=2) if as_json else runs_view(found))

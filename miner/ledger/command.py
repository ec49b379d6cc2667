"""`streetvision-miner ledger`: what was asked, and the ledger's copies. Needs no running miner."""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from miner.control import DataFolder, DataFolderBusy
from miner.ledger.audits import audits
from miner.ledger.backup import FOLDER, BackupError, back_up, backups, check, name_of, restore
from miner.ledger.reader import judged, recent
from miner.ledger.schema import LEDGER_NAME
from miner.ledger.view import audits_view, backups_view, challenges_view
from miner.passing import SettingsGroup, settings_of
from miner.settings import SettingsError
from miner.terminal import echo

SPAN = re.compile(r"(\d+(?:\.\d+)?)(s|min|h|d)")
SECONDS = {"s": 1.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0}
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
app = typer.Typer(cls=SettingsGroup, help="What was asked and answered; copies of the ledger.")


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="ledger")


@app.callback(invoke_without_command=True)
def ledger(
    context: typer.Context,
    as_json: AsJson = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many challenges.")] = 20,
    caller: Annotated[str, typer.Option(help="Of the validator whose hotkey begins so.")] = "",
    outcome: Annotated[str, typer.Option(help="answered, shed, late, gone, bad_image, ...")] = "",
    since: Annotated[str, typer.Option(help="Of the last so long: 90s, 15min, 6h, 7d.")] = "",
) -> None:
    """The newest challenges, newest first."""
    if context.invoked_subcommand is not None:
        return
    path = settings_of(context).data.path / LEDGER_NAME
    since_ns = time.time_ns() - round(_seconds(since) * 1e9) if since else 0
    rows = recent(path, limit, caller=caller, outcome=outcome, since_ns=since_ns)
    echo(json.dumps([asdict(row) for row in rows], indent=2) if as_json else challenges_view(rows))


@app.command(name="audits")
def list_audits(
    context: typer.Context,
    as_json: AsJson = False,
    limit: Annotated[int, typer.Option(min=1, help="Of the newest so many answers.")] = 20_000,
) -> None:
    """What leaving early costs, by the exits at which everybody was asked all the same."""
    found = audits(judged(settings_of(context).data.path / LEDGER_NAME, limit))
    plain = {tier: asdict(one) for tier, one in found.items()}
    echo(json.dumps(plain, indent=2) if as_json else audits_view(found))


@app.command()
def backup(
    context: typer.Context,
    to: Annotated[
        Path | None, typer.Argument(help="The copy's file (none: one in the data folder's backups).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a checked copy now, also beside a running miner."""
    data = settings_of(context).data.path
    copy = back_up(data / LEDGER_NAME, to or data / FOLDER / name_of(time.time()))
    count = check(copy)
    found = {"file": str(copy), "bytes": copy.stat().st_size, "challenges": count}
    echo(json.dumps(found, indent=2) if as_json else f"{copy}: {count:,} challenges, checked")


@app.command(name="backups")
def list_backups(context: typer.Context, as_json: AsJson = False) -> None:
    """The copies in the data folder, oldest first."""
    folder = settings_of(context).data.path / FOLDER
    found = [
        {"file": str(path), "bytes": path.stat().st_size, "at_s": path.stat().st_mtime}
        for path in backups(folder)
    ]
    echo(json.dumps(found, indent=2) if as_json else backups_view(found, folder))


@app.command(name="restore")
def put_back(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A copy made by `ledger backup` or by the daily job.")],
    as_json: AsJson = False,
) -> None:
    """Put a copy in the ledger's place. The miner must be stopped; the present ledger is kept beside."""
    data = settings_of(context).data.path
    folder = DataFolder(data)
    try:
        folder.hold()
    except DataFolderBusy as error:
        raise BackupError(str(error)) from error
    try:
        kept = restore(file, data / LEDGER_NAME)
        count = check(data / LEDGER_NAME)
    finally:
        folder.release()
    aside = None if kept is None else str(kept)
    found = {"file": str(data / LEDGER_NAME), "challenges": count, "kept": aside}
    before = "" if kept is None else f"; what was there is {kept.name}"
    echo(json.dumps(found, indent=2) if as_json else f"{count:,} challenges are back{before}")


@app.command(name="check")
def check_file(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="A copy (none: the ledger itself).")] = None,
    as_json: AsJson = False,
) -> None:
    """Read every page. Exit status 1 when the file is damaged."""
    path = file or settings_of(context).data.path / LEDGER_NAME
    count = check(path)
    found = {"file": str(path), "challenges": count, "ok": True}
    echo(json.dumps(found, indent=2) if as_json else f"{path}: whole, {count:,} challenges")


def _seconds(text: str) -> float:
    """Raises SettingsError."""
    found = SPAN.fullmatch(text.strip())
    if found is None:
        raise SettingsError(f"--since is {text!r}: it must be a number and s, min, h or d, as in 6h")
    return float(found[1]) * SECONDS[found[2]]

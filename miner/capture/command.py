"""`streetvision-miner capture`: asks the running miner; without one, does it on the disk alone."""

from __future__ import annotations

import json
import sqlite3
import time
from typing import Annotated, Any

import typer

from miner.capture.store import Store
from miner.capture.switch import Switch
from miner.control import SOCKET_NAME, ControlError, DataFolder, DataFolderBusy, NotRunning, call
from miner.ledger import LEDGER_NAME
from miner.ledger.kept import totals, unlabelled
from miner.offline import written
from miner.passing import SettingsGroup, settings_of
from miner.settings import Settings
from miner.terminal import echo

ANSWER_S = 30.0
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
app = typer.Typer(cls=SettingsGroup, help="Pictures kept to learn from: off until you switch it on.")


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="capture")


@app.callback(invoke_without_command=True)
def capture(context: typer.Context, as_json: AsJson = False) -> None:
    """Whether pictures are kept, how many, and why not."""
    if context.invoked_subcommand is None:
        _status(settings_of(context), as_json)


@app.command()
def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Whether pictures are kept, how many, and why not. Needs no running miner."""
    _status(settings_of(context), as_json)


@app.command()
def on(context: typer.Context, as_json: AsJson = False) -> None:
    """Keep pictures from now on, also after a restart: docs/capture.md says what that means."""
    _set(settings_of(context), True, as_json)


@app.command()
def off(context: typer.Context, as_json: AsJson = False) -> None:
    """Keep no more from now on, also after a restart. What is kept stays until its age or a purge."""
    _set(settings_of(context), False, as_json)


@app.command()
def purge(context: typer.Context, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete every kept picture, its row and the key, and count what is left. Labels stay: they hold no
    picture. Exit status 1 when something is left."""
    settings = settings_of(context)
    if not yes:
        typer.confirm("Delete every kept picture?", abort=True, err=True)
    try:
        proof = _ask(settings, "capture_purge")
    except NotRunning:
        proof = _purge_offline(settings)
    text = "{files} files and {rows} rows deleted, {left} left".format(**proof)
    echo(json.dumps(proof) if as_json else text)
    raise typer.Exit(1 if proof["left"] else 0)


def _status(settings: Settings, as_json: bool) -> None:
    try:
        found = _ask(settings, "capture_status")
    except NotRunning:
        found = _status_offline(settings)
    echo(json.dumps(found, indent=2) if as_json else status_view(found))


def _set(settings: Settings, enabled: bool, as_json: bool) -> None:
    try:
        found = _ask(settings, "capture_set", enabled=enabled)
    except NotRunning:
        found = _set_offline(settings, enabled)
    echo(json.dumps(found) if as_json else f"capture is {'on' if enabled else 'off'}")


def _ask(settings: Settings, command: str, **about: Any) -> Any:
    return call(settings.data.path / SOCKET_NAME, command, timeout_s=ANSWER_S, **about)


def _status_offline(settings: Settings) -> dict[str, Any]:
    path = settings.data.path / LEDGER_NAME
    found = totals(path)
    return {
        "enabled": Switch(settings.data.path, enabled=settings.capture.enabled).on,
        "count": found.count,
        "bytes": found.size,
        "most_bytes": settings.capture.bytes,
        "days": settings.capture.days,
        "unlabelled": unlabelled(path),
        "oldest_s": None if found.oldest_ns is None else found.oldest_ns / 1e9,
        "stopped": "no miner runs",
    }


def _set_offline(settings: Settings, enabled: bool) -> dict[str, Any]:
    folder = DataFolder(settings.data.path)
    try:
        folder.hold()
        Switch(settings.data.path, enabled=settings.capture.enabled).set(enabled)
    except (DataFolderBusy, OSError) as error:
        raise ControlError(str(error)) from error
    finally:
        folder.release()
    return {"enabled": enabled}


def _purge_offline(settings: Settings) -> dict[str, int]:
    from miner.capture.keeper import purge as purge_all

    try:
        with written(settings.data.path) as ledger:
            return purge_all(Store(settings.data.path), ledger)
    except (OSError, sqlite3.Error) as error:
        raise ControlError(f"not all is deleted: {error}") from error


def status_view(found: dict[str, Any]) -> str:
    """The status for people."""
    state = "on" if found["enabled"] else "off"
    if found["enabled"] and found["stopped"]:
        state += f", but nothing is kept now: {found['stopped']}"
    oldest = "-" if found["oldest_s"] is None else time.strftime("%Y-%m-%d", time.gmtime(found["oldest_s"]))
    size = f"{found['bytes'] / 2**20:,.1f} of {found['most_bytes'] / 2**20:,.0f} MiB"
    rows = [
        ("capture", state),
        ("pictures", f"{found['count']:,} ({size}), oldest {oldest}, at most {found['days']:g} days"),
        ("to review", f"{found['unlabelled']:,}"),
    ]
    if outcomes := found.get("outcomes"):
        told = ", ".join(f"{count:,} {word}" for word, count in sorted(outcomes.items()))
        rows.append(("since start", f"{told}, {found['dropped']:,} dropped"))
    return "\n".join(f"{name:12} {text}" for name, text in rows)

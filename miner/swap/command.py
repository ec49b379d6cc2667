"""`streetvision-miner models | swap | rollback`: asks the running miner; without one, does what it can."""

from __future__ import annotations

import json
import sys
import time
from typing import Annotated, Any

import typer

from miner.control import SOCKET_NAME, ControlError, DataFolder, NotRunning, call
from miner.ledger import LEDGER_NAME, Ledger
from miner.registry import MODELS, Registry
from miner.settings import Settings, load
from miner.swap.view import models_view, overview, progress
from miner.terminal import echo

POLL_S = 0.5
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Tier = Annotated[str, typer.Argument(help="Member of the cascade, e.g. classifier.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (models, swap, rollback):
        app.command(context_settings=PASS_ON)(command)


def models(context: typer.Context, as_json: AsJson = False) -> None:
    """Versions of every member: who serves, who waits, who may not and why. Needs no running miner."""
    settings = load(context.args)
    try:
        found = call(settings.data.path / SOCKET_NAME, "models")
    except NotRunning:
        found = overview(Registry(settings.data.path / MODELS), ())
    echo(json.dumps(found, indent=2) if as_json else models_view(found))


def swap(
    context: typer.Context,
    tier: Tier,
    version: Annotated[str, typer.Argument(help="Its name, or how that begins.")],
    force: Annotated[bool, typer.Option("--force", help="Without the gate; recorded as such.")] = False,
    as_json: AsJson = False,
) -> None:
    """Have the running miner try a version and promote it. Exit status 1 when it does not serve."""
    settings = load(context.args)
    _begun(settings, "swap", tier=tier, version=version, force=force)
    _finish(settings, as_json)


def rollback(context: typer.Context, tier: Tier, as_json: AsJson = False) -> None:
    """Let the previous version serve again. Without a running miner the next start has it."""
    settings = load(context.args)
    try:
        _begun(settings, "rollback", tier=tier)
    except NotRunning:
        _offline(settings, tier, as_json)
        return
    _finish(settings, as_json)


def _begun(settings: Settings, command: str, **about: Any) -> None:
    call(settings.data.path / SOCKET_NAME, command, **about)


def _finish(settings: Settings, as_json: bool) -> None:
    """Tell each step until there is no more; exit status 1 when it did not go well."""
    step = ""
    while (status := call(settings.data.path / SOCKET_NAME, "swap_status"))["under_way"] is not None:
        if status["under_way"]["step"] != step:
            step = status["under_way"]["step"]
            sys.stderr.write(progress(status["under_way"]) + "\n")
        time.sleep(POLL_S)
    last = status["last"]
    if last is None:
        raise ControlError("the swap failed; the miner's log says why")
    echo(json.dumps(last, indent=2) if as_json else last["sentence"])
    raise typer.Exit(0 if last["outcome"] in ("promoted", "rolled_back") else 1)


def _offline(settings: Settings, tier: str, as_json: bool) -> None:
    """On the disk alone, while no miner can come in between."""
    folder = DataFolder(settings.data.path)
    folder.hold()
    try:
        registry = Registry(settings.data.path / MODELS)
        wrong = registry.pointers(tier).champion
        pointers = registry.rollback(tier)
        if wrong is not None:
            registry.quarantine(tier, wrong, "rolled back by the operator")
        _note(settings, {"tier": tier, "version": pointers.champion, "outcome": "rolled_back"})
    except ValueError as error:
        raise ControlError(str(error)) from error
    finally:
        folder.release()
    sentence = f"{tier}: {pointers.champion or 'what the settings name'} serves from the next start on"
    echo(json.dumps({"tier": tier, "version": pointers.champion}) if as_json else sentence)


def _note(settings: Settings, event: dict[str, Any]) -> None:
    about = {"step": "promoted", "why": "", "forced": True, "by": "operator", "seconds": 0.0, "figures": {}}
    ledger = Ledger(settings.data.path / LEDGER_NAME)
    ledger.event("swap", event | about)
    ledger.close()

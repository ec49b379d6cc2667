"""`streetvision-miner upgrade`: says how it is done, and with --check what it would meet. Does nothing."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from miner.terminal import echo

STEPS = """\
This program never changes itself. By hand, in the order of docs/operations.md:
  streetvision-miner ledger backup
  git fetch --tags; git tag before-upgrade; git checkout NEW
  make venv
  streetvision-miner upgrade --check    what the new version finds here, before it is started
  systemctl restart streetvision-miner
Back: git checkout before-upgrade; make venv; restart. A ledger that was changed: `ledger restore` its copy
schema-N-... in the folder backups, with the miner stopped."""


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command(name="upgrade", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
        upgrade
    )


def upgrade(
    context: typer.Context,
    check: Annotated[bool, typer.Option("--check", help="Look at what an upgrade meets here.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """How to change the version, and (--check) what it would meet here. Changes nothing."""
    if not check:
        echo(json.dumps({"steps": STEPS.splitlines()}, indent=2) if as_json else STEPS)
        return
    from miner.doctor.command import healthy, view  # it brings the chain's library
    from miner.upgrade.check import check as look

    found = look(context.args)
    echo(json.dumps([asdict(each) for each in found], indent=2) if as_json else view(found))
    raise typer.Exit(0 if healthy(found) else 1)

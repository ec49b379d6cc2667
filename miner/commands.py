"""A group of commands whose modules are imported when they are named: each command pays for itself alone."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer.main
from typer.core import TyperGroup

ELSEWHERE = {
    **dict.fromkeys(("models", "swap", "rollback"), "miner.swap.command"),
    "capture": "miner.capture.command",
    "review": "miner.review.command",
    "jobs": "miner.jobs.command",
    "ledger": "miner.ledger.command",
    "rewards": "miner.rewards.command",
    "upgrade": "miner.upgrade.command",
}
"""Command -> the module whose `register` adds it to a typer application."""


class Commands(TyperGroup):
    """`cls` of the application: its own commands, and before them those that live elsewhere."""

    def list_commands(self, ctx: Any) -> list[str]:
        own = [name for name in super().list_commands(ctx) if name not in ELSEWHERE]
        return [*ELSEWHERE, *own]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in ELSEWHERE and cmd_name not in self.commands:
            part = typer.Typer()
            import_module(ELSEWHERE[cmd_name]).register(part)
            self.commands.update(typer.main.get_group(part).commands)
        return super().get_command(ctx, cmd_name)

"""Groups of commands that take the daemon's flags (`--data.path`, ...) anywhere among their words."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

from miner.settings import Settings, load
from miner.settings.passed import split

KEY = "streetvision-miner.settings"


class SettingsGroup(TyperGroup):
    """`cls` of such a group: sets the settings' flags aside before the rest is parsed."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ours, rest = split(args)
        ctx.meta[KEY] = [*ctx.meta.get(KEY, []), *ours]
        return super().parse_args(ctx, rest)


def settings_of(context: Any) -> Settings:
    """The settings by the flags that a group set aside. Raises SettingsError."""
    return load(context.meta.get(KEY, []))

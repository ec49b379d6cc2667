"""What commands print, and how."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType


def echo(what: RenderableType) -> None:
    """Print to stdout. Brackets and colons in what others sent are text, never markup."""
    if isinstance(what, str):
        sys.stdout.write(what + "\n")
        return
    from rich.console import Console

    Console(markup=False, highlight=False, emoji=False).print(what)


def short(hotkey: str) -> str:
    """A hotkey as people quote it: its first six characters."""
    return f"{hotkey[:6]}…" if len(hotkey) > 7 else hotkey

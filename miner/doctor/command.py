"""`streetvision-miner doctor`: the findings as a table or JSON, and an exit status."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from miner.doctor.examine import examine
from miner.doctor.finding import Finding
from miner.settings import Settings

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "skip": "dim"}


def run(settings: Settings) -> list[Finding]:
    return asyncio.run(examine(settings))


def healthy(found: Sequence[Finding]) -> bool:
    return all(each.level != "fail" for each in found)


def view(found: Sequence[Finding]) -> RenderableType:
    """One line per check; what to do stands under what was found."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for each in found:
        said = Text(each.reason)
        if each.remedy:
            said.append(f"\n→ {each.remedy}", style="italic")
        table.add_row(Text(each.level, style=STYLES[each.level]), each.check, said)
    return table

"""Rewards as text for a terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from miner.rewards.economics import Economics
from miner.rewards.history import Day, sparkline
from miner.terminal import short

if TYPE_CHECKING:
    from miner.rewards.rows import ValidatorRow


def payouts_view(rows: Sequence[dict[str, Any]]) -> RenderableType:
    """Epochs and what they paid, newest last."""
    if not rows:
        return "No epoch has paid this miner yet."
    table = Table("Block", "Seen", "Hotkey", title="Paid per epoch", title_justify="left")
    for name in ("alpha", "TAO", "incentive", "rank"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            *(str(row["block"]), _clock(row["at_ns"] / 1e9), short(row["hotkey"])),
            *(
                f"{row.get('alpha', 0.0):.6f}",
                f"{row.get('tao', 0.0):.6f}",
                f"{row.get('incentive', 0.0):.4f}",
            ),
            str(row.get("rank", "-")),
        )
    paid = [row.get("alpha", 0.0) for row in rows]
    line = Text(f"{sparkline(paid)}  {len(rows)} epochs, {sum(paid):.6f} alpha")
    return Group(table, line, *_place(rows))


def _place(rows: Sequence[Mapping[str, Any]]) -> list[Text]:
    """How safe our UID is, and what is burned, at the newest epoch of which that was noted."""
    newest = next((row for row in reversed(rows) if "immune_blocks" in row), None)
    if newest is None:
        return []
    immune, position, burned = newest["immune_blocks"], newest["position"], newest["burned"]
    safe = f"immune for {immune} blocks" if immune else "no longer immune"
    order = "not at risk" if position is None else f"deregistered after {position} more registrations"
    share = "nobody was paid" if burned is None else f"{burned:.0%} of the incentive burned"
    rate = f"{newest['alpha_per_day']:.4f} alpha ({newest['tao_per_day']:.6f} TAO) a day"
    return [Text(f"{rate}; rank {newest['rank']} of {newest['miners']}; {safe}, {order}; {share}")]


def days_view(days: Sequence[Day]) -> RenderableType:
    """Days and what they paid, newest last, with a sparkline of alpha."""
    if not days:
        return "No epoch has paid this miner yet."
    table = Table("Day (UTC)", title="Paid per day", title_justify="left")
    for name in ("alpha", "TAO at spot", "incentive", "best rank", "epochs"):
        table.add_column(name, justify="right")
    for day in days:
        rank = "-" if day.rank is None else str(day.rank)
        figures = (f"{day.alpha:.6f}", f"{day.tao:.6f}", f"{day.incentive:.4f}", rank, str(day.epochs))
        table.add_row(str(day.date), *figures)
    total = sum(day.alpha for day in days)
    return Group(table, Text(f"{sparkline([day.alpha for day in days])}  {total:.6f} alpha"))


def economics_view(money: Economics) -> RenderableType:
    """What a day costs and earns, and what would change that."""
    table = Table.grid(padding=(0, 2))
    table.add_row("over", f"{money.days} days")
    table.add_row("earned a day", f"{money.alpha:.6f} alpha = {money.tao:.6f} TAO = {money.income:.4f}")
    table.add_row("costs a day", f"{money.cost:.4f}")
    profit = Text(f"{money.profit:+.4f}", style="green" if money.profit >= 0 else "bold red")
    table.add_row("profit a day", profit)
    if money.break_even_alpha is None or money.break_even_tao is None:
        table.add_row("break even", "never: nothing is paid")
    else:
        table.add_row(
            "break even at",
            f"{money.break_even_alpha:.6f} TAO per alpha, or {money.break_even_tao:.4f} per TAO",
        )
    unknown = "not known: too few answers whose truth is known"
    known = unknown if money.point is None else f"{money.point:+.4f} a day"
    table.add_row("one more point of MCC", known)
    return Group(table, Text("At spot prices, before slippage, fees and taxes.", style="dim"))


def validators_view(rows: Sequence[ValidatorRow], now_s: float) -> RenderableType:
    """What each validator thinks of us: our twin of its score beside the chain's weights and bonds."""
    if not rows:
        return Text("Nothing is known of the validators yet.", style="dim")
    table = Table(title="Per validator", title_justify="left", pad_edge=False, collapse_padding=True)
    table.add_column("Validator", no_wrap=True)
    for name in ("stake", "weight", "of best", "bond", "twin", "known", "missed", "last", "every"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            short(row["hotkey"]),
            f"{row['share']:.0%}" if row["permit"] else "-",
            *(_part(row["weight"], 3), _part(row["ceiling"], 2), _part(row["bond"], 2), _twin(row)),
            *(f"{row['known']}/{row['challenges']}", str(row["unanswered"])),
            "never" if row["last_s"] is None else f"{(now_s - row['last_s']) / 60:.0f} min",
            "-" if row["gap_s"] is None else f"{row['gap_s'] / 60:.0f} min",
        )
    return table


def _twin(row: ValidatorRow) -> str:
    """The score, or its bounds where labels are missing."""
    if not row["challenges"]:
        return "-"
    if row["best"] - row["worst"] < 5e-4:
        return f"{row['worst']:.3f}"
    return f"{row['worst']:.2f}-{row['best']:.2f}"


def _part(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _clock(at_s: float) -> str:
    return time.strftime("%y-%m-%d %H:%M", time.localtime(at_s))

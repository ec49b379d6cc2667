"""`streetvision-miner rewards`: from the ledger, and from the running miner where there is one."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group

from miner.control import SOCKET_NAME, ControlError, call
from miner.ledger import LEDGER_NAME, payouts
from miner.ledger.asked import histories, last_hotkey
from miner.rewards.economics import economics
from miner.rewards.export import plot as draw
from miner.rewards.export import write_csv
from miner.rewards.history import by_day
from miner.rewards.rates import rates
from miner.rewards.standing import LIMIT
from miner.rewards.view import days_view, economics_view, payouts_view, validators_view
from miner.settings import Settings, load
from miner.terminal import echo

if TYPE_CHECKING:
    from miner.rewards.rows import ValidatorRow

EVERY = 10**6
"""Epochs of an 84-minute tempo in 160 years: all there are."""
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(context_settings=PASS_ON)(rewards)


def rewards(
    context: typer.Context,
    as_json: AsJson = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many epochs.")] = 20,
    days: Annotated[int, typer.Option(min=0, help="Show the last so many days instead of epochs.")] = 0,
    csv: Annotated[Path | None, typer.Option(help="Write all days to this CSV file (-: print them).")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a chart of all days: .html, .svg or .png.")] = None,
    money: Annotated[
        bool, typer.Option("--economics", help="Weigh what a day earns against what it costs.")
    ] = False,
    cost_per_hour: Annotated[
        float, typer.Option(help="What the host costs per hour (else rewards.cost_per_hour).")
    ] = 0.0,
    tao_price: Annotated[
        float, typer.Option(help="Price of a TAO in the same currency (else rewards.tao_price).")
    ] = 0.0,
) -> None:
    """What the chain has paid, and what each validator thinks of us. Needs no running miner."""
    settings = load(context.args)
    path = settings.data.path / LEDGER_NAME
    if money or cost_per_hour or tao_price:
        _economics(settings, cost_per_hour, tao_price, as_json)
    elif csv or plot:
        _export(path, csv, plot)
    elif days:
        last = by_day(payouts(path, EVERY))[-days:]
        _put(as_json, [{**asdict(day), "date": str(day.date)} for day in last], days_view(last))
    else:
        rows = payouts(path, limit)
        validators = _validators(settings, rows)
        _put(as_json, rows, Group(payouts_view(rows), validators_view(validators, time.time())))


def _validators(settings: Settings, rows: list[dict[str, Any]]) -> list[ValidatorRow]:
    """As the running miner knows them; without one as they were at the newest epoch that was noted whole."""
    try:
        found = call(settings.data.path / SOCKET_NAME, "status")["validators"]
    except ControlError:  # none runs, or it is too busy to say
        found = []
    noted: list[ValidatorRow] = next((row["validators"] for row in reversed(rows) if "validators" in row), [])
    return found or noted


def _economics(settings: Settings, cost_per_hour: float, tao_price: float, as_json: bool) -> None:
    path, section = settings.data.path / LEDGER_NAME, settings.rewards
    hotkey = last_hotkey(path)
    seen = histories(path, hotkey, LIMIT) if hotkey else {}
    found = economics(
        by_day(payouts(path, EVERY)),
        cost_per_hour or section.cost_per_hour,
        tao_price or section.tao_price,
        rates(one for history in seen.values() for one in history),
    )
    _put(as_json, asdict(found) | {"profit": found.profit}, economics_view(found))


def _export(path: Path, csv: Path | None, plot: Path | None) -> None:
    days = by_day(payouts(path, EVERY))
    if csv:
        write_csv(days, csv)
    if plot:
        draw(days, plot)


def _put(as_json: bool, answer: Any, view: Any) -> None:
    echo(json.dumps(answer, indent=2) if as_json else view)

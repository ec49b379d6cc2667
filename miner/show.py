"""Status and rewards as text for a terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from miner.exits import exit_line
from miner.status import HotkeyRow, RecentRow, Status
from miner.terminal import short

ROWS = 10
EXITS = 5
EARLIER = 3
"""Changes of course that are told beside the last one."""
ALARM_STYLES = {"info": "cyan", "warn": "yellow", "fail": "bold red"}
STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def status_view(status: Status) -> RenderableType:
    """A running miner."""
    ready = status["ready"]
    head = Text("● answering" if ready else "○ not answering", style="bold green" if ready else "bold red")
    head.append(f"  UID {status['uid']}, {status['hotkey']}", style="default")
    reasons = [Text(f"  because: {reason}", style="red") for reason in status["reasons"]]
    alarms = [Text(f"! {row['text']}", style=ALARM_STYLES[row["level"]]) for row in status["alarms"]]
    subnet = Text(status["subnet"]["sentence"], style=STYLES.get(status["subnet"]["level"], "dim"))
    servers = [_server(one) for one in status["servers"]]
    hotkeys = status.get("hotkeys", [])
    table = [hotkeys_view(hotkeys)] if len(hotkeys) > 1 else []
    rest = (subnet, *table, _facts(status), *servers, _recent_table(status["recent"][:ROWS]))
    return Group(head, *reasons, *alarms, *rest)


def hotkeys_view(rows: Sequence[HotkeyRow]) -> RenderableType:
    """Where each of our hotkeys stands."""
    table = Table(
        "Hotkey", "UID", "Port", "Alpha a day", "Rank", "Place", "Twin", "Asked", "Answered", "Address"
    )
    for row in rows:
        reward = row["reward"]
        table.add_row(
            short(row["hotkey"]),
            "not registered" if row["uid"] is None else str(row["uid"]),
            str(row["port"]),
            "-" if reward is None else f"{reward['alpha_per_day']:.4g}",
            "-" if reward is None else str(reward["rank"]),
            _place(row),
            "-" if row["twin"] is None else "{:.3f} to {:.3f}".format(*row["twin"]),
            str(row["challenges"]),
            str(row["answered"]),
            row["address"],
        )
    return table


def _place(row: HotkeyRow) -> str:
    """How safe its UID is."""
    if row["reward"] is None:
        return "-"
    if row["immune_blocks"]:
        return f"immune for {row['immune_blocks']} blocks"
    return _risk(row["reward"]["position"])


def _server(one: dict[str, Any]) -> Text:
    """A VLM server: it is a member that is absent unless it is ready."""
    style = "green" if one["state"] == "ready" else "yellow"
    took = "" if one["probe_ms"] is None else f", a picture in {one['probe_ms']:.0f} ms"
    said = one["detail"] or f"{one['model']} at {one['url']}{took}"
    return Text(f"server {one['name']}: {one['state']}, {said}", style=style)


def offline_view(last: dict[str, Any]) -> RenderableType:
    """No miner runs: how to start one, and what the last one left."""
    lines = [
        f"No miner is running on {last['data_path']}.",
        "Start one with: python neurons/miner.py --wallet.name NAME --wallet.hotkey HOTKEY",
    ]
    if last["last_challenge_s"] is not None:
        lines.append(f"Last challenge: {_ago(last['last_challenge_s'])} ago.")
    if outcomes := last["last_day"]["outcomes"]:
        lines.append(f"Last 24 hours: {_counts(outcomes)}.")
    if payout := last["last_payout"]:
        lines.append(f"Last payout: {payout.get('alpha', 0.0):.6f} alpha at block {payout['block']}.")
    if subnet := last["last_subnet"]:
        lines.append(f"Subnet, said {_ago(subnet['at_ns'] / 1e9)} ago: {subnet['sentence']}")
    for event in last["last_events"]:
        lines.append(f"{_clock(event['at_ns'] / 1e9)}  {event['kind']} {event['data'] or ''}".rstrip())
    return "\n".join(lines)


def _facts(status: Status) -> Table:
    engine, chain, reward = status["engine"], status["chain"], status["reward"]
    table = Table.grid(padding=(0, 2))
    models = ", ".join(f"{name} {text}" for name, text in engine["versions"].items()) or "none yet"
    table.add_row(
        "model", f"{engine['state']}, {models}, {engine['device']}, {engine['image_ms']:.1f} ms per image"
    )
    table.add_row(
        "", f"{engine['queued']} waiting, {engine['in_flight']} in work, {engine['restarts']} restarts"
    )
    if engine["course"]:
        table.add_row("course", f"{engine['course']} {engine['course_why']}".rstrip())
    for at_s, course, why in engine["course_log"][-EARLIER - 1 : -1]:
        table.add_row("", f"{_clock(at_s)}  {course}: {why}")
    if engine["never"]:
        table.add_row("", f"nobody is answered early: {engine['never']}")
    if by := engine.get("early_by"):
        table.add_row("", f"answered early under {by}")
    age = "never seen" if chain["age_s"] is None else f"seen {chain['age_s']:.0f} s ago"
    table.add_row("chain", f"{chain['state']}, block {chain['block']}, {age} {chain['reason']}".rstrip())
    if len(hotkeys := status.get("hotkeys", [])) == 1:
        table.add_row("address", hotkeys[0]["sentence"] or hotkeys[0]["address"])
    table.add_row("challenges", _counts(status["counts"]["outcomes"]) or "none since start")
    for place, row in enumerate(status["exits"][:EXITS]):
        table.add_row("" if place else "left by", exit_line(row))
    table.add_row("refused", _counts(status["counts"]["refused"]) or "none")
    if reward is not None:
        table.add_row(
            "rewards",
            f"{reward['alpha_per_day']:.4g} alpha a day ({reward['tao_per_day']:.4g} TAO), "
            f"incentive {reward['incentive']:.4f}, rank {reward['rank']}, {_risk(reward['position'])}",
        )
    table.add_row("page", status["url"] or "off")
    table.add_row("up", f"{_ago(status['started_at'])}, version {status['version']}")
    return table


def _recent_table(rows: Sequence[RecentRow]) -> RenderableType:
    if not rows:
        return Text("No challenge yet.", style="dim")
    table = Table("Time", "Validator", "Outcome", "P(roadwork)", "ms", "Left", "Notes")
    for row in rows:
        table.add_row(
            _clock(row["at_s"]),
            short(row["caller"]),
            row["outcome"],
            _number(row["prediction"], 3),
            _number(row["ms"], 1),
            _number(row["margin_s"], 1),
            ", ".join(row["notes"]),
        )
    return table


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))


def _risk(position: int | None) -> str:
    return "not at risk" if position is None else f"pruned after {position} more registrations"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _clock(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_s))


def _ago(at_s: float) -> str:
    seconds = max(0.0, time.time() - at_s)
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} seconds"

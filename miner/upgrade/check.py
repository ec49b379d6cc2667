"""What a change of version meets on this host: settings, ledger, environment, code."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from miner.control import SOCKET_NAME, ControlError, NotRunning, call
from miner.doctor.finding import Finding, fail, ok, skip, warn
from miner.ledger.changing import CURRENT, schema_of
from miner.ledger.schema import LEDGER_NAME
from miner.settings import Settings, SettingsError, load, version

ROOT = Path(__file__).resolve().parents[2]
PIN = re.compile(r"([\w.\-]+)==(\S+)")
GIT_S = 20.0
ROOM = 3.0
"""How many times the ledger's size must be free: the copy, and what SQLite writes while it changes."""


def check(argv: Sequence[str], root: Path = ROOT) -> list[Finding]:
    """All of it, in the order in which an upgrade meets it. `argv` are the daemon's flags."""
    found = [code(root), environment(root / "constraints.txt")]
    try:
        settings = load(argv)
    except SettingsError as error:
        return [
            *found,
            fail("settings", f"{error}.", "Mend it before the restart: the miner would not start."),
        ]
    return [*found, understood(settings), ledger(settings.data.path / LEDGER_NAME), running(settings)]


def code(root: Path) -> Finding:
    """Whether the code's own branch has moved on where it came from. Asks, and fetches nothing."""
    here = _git(root, "rev-parse", "HEAD")
    if here is None:
        return skip("code", f"{version()}; {root} is no git checkout, so newer code cannot be looked for.")
    said = f"{version()}, commit {here[:10]}"
    branch = _git(root, "rev-parse", "--abbrev-ref", "HEAD")
    told = _git(root, "ls-remote", "origin", f"refs/heads/{branch}") if branch not in (None, "HEAD") else None
    if not told:
        return skip("code", f"{said}; where it came from does not answer, or not to this branch.")
    if told.split()[0] == here:
        return ok("code", f"{said}: the newest of {branch}.")
    return warn("code", f"{said}; {branch} is at {told[:10]}.", "Read what changed, then docs/operations.md.")


def environment(constraints: Path, installed: Mapping[str, str] | None = None) -> Finding:
    """Whether what is installed is what the code was tested with; of what is installed at all."""
    if not constraints.is_file():
        return skip("environment", "There is no constraints.txt beside the code.")
    lines = map(PIN.fullmatch, constraints.read_text(encoding="utf-8").splitlines())
    pins = {found[1]: found[2] for found in lines if found}
    have = _installed(pins) if installed is None else installed
    other = [
        f"{name} {have[name]} for {pin}" for name, pin in pins.items() if name in have and have[name] != pin
    ]
    if other:
        more = f" and {len(other) - 5} more" if len(other) > 5 else ""
        return warn(
            "environment", f"Other versions than tested: {', '.join(other[:5])}{more}.", "Run make venv."
        )
    return ok("environment", f"{len(have)} packages are as tested.")


def understood(settings: Settings) -> Finding:
    """Whether every setting that is given means something in this version."""
    if settings.notices:
        return warn(
            "settings", " ".join(f"{each}." for each in settings.notices), "Take out what has no effect."
        )
    return ok("settings", "Every setting that is given is understood.")


def ledger(path: Path, free: int | None = None) -> Finding:
    """What the start would do to the ledger. `free` bytes on its disk."""
    try:
        have = schema_of(path)
    except sqlite3.Error as error:
        return fail("ledger", f"{path} cannot be read: {error}.", "See LedgerDamaged in docs/runbooks.md.")
    if have is None or have == 0:
        return ok("ledger", "There is none yet: the start makes it.")
    if have > CURRENT:
        return fail(
            "ledger",
            f"It has schema {have}, this version knows {CURRENT}: the miner would not start.",
            "Go back to the newer version, or `ledger restore` the copy schema-N of before.",
        )
    if have == CURRENT:
        return ok("ledger", f"It has this version's schema, {have}.")
    return _changes(path, have, shutil.disk_usage(path.parent).free if free is None else free)


def _changes(path: Path, have: int, free: int) -> Finding:
    said = f"Schema {have} becomes {CURRENT} at the next start, after a copy of it in backups/schema-{have}-…"
    if free < ROOM * path.stat().st_size:
        return fail("ledger", f"{said}; the disk has no room for that.", f"Free {ROOM:.0f} times its size.")
    return ok("ledger", f"{said}.")


def running(settings: Settings) -> Finding:
    """Whether the miner that runs is the one that is installed."""
    try:
        told = call(settings.data.path / SOCKET_NAME, "status")
    except NotRunning:
        return ok("running", "No miner runs on this data folder.")
    except ControlError as error:
        return warn("running", f"{error}.", "See `streetvision-miner status`.")
    if told.get("version", version()) != version():
        return warn(
            "running",
            f"{told['version']} runs, {version()} is installed.",
            "Restart it between two challenges.",
        )
    return ok("running", f"{version()} runs and is installed.")


def _installed(names: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            continue
    return found


def _git(root: Path, *words: str) -> str | None:
    """What git says; None when it cannot, or takes too long."""
    program = shutil.which("git")
    if program is None or not (root / ".git").exists():
        return None
    quiet = ["-c", "credential.helper=", "-c", "core.askPass=true"]
    try:
        done = subprocess.run(
            [program, *quiet, "-C", str(root), *words],
            capture_output=True,
            text=True,
            timeout=GIT_S,
            stdin=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin", "GIT_TERMINAL_PROMPT": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None

"""The hotkey file. The coldkey is only looked for, never opened: it does not belong on this host."""

from __future__ import annotations

import stat
from pathlib import Path

from miner.doctor.finding import Finding, fail, ok, warn
from miner.identity import IdentityError, load_hotkey
from miner.settings import Wallet

COLDKEY = "coldkey"


def hotkey(wallet: Wallet, name: str | None = None) -> tuple[Finding, str | None]:
    """With its ss58 address, None when it cannot be read. `name`: which of several (none: the first)."""
    name = name or wallet.names[0]
    try:
        address = str(load_hotkey(wallet, name).ss58_address)
    except IdentityError as error:
        return fail("hotkey", f"{error}.", "Only the hotkey file is needed here; copy it, or make one."), None
    path = wallet.path.expanduser() / wallet.name / "hotkeys" / name
    if open_to_others(path):
        return (
            warn("hotkey", f"Others on this host may read {path}.", f"chmod 600 {path}"),
            address,
        )
    return ok("hotkey", f"{wallet.name}/{name} is {address}."), address


def coldkey(wallet: Wallet) -> Finding:
    path = wallet.path.expanduser() / wallet.name / COLDKEY
    if path.exists():
        return warn(
            "coldkey",
            f"The coldkey lies on this host ({path}): whoever takes the host takes the funds.",
            "Keep it elsewhere and leave coldkeypub.txt; this miner never opens it.",
        )
    return ok("coldkey", "The coldkey is not on this host, as it should be.")


def open_to_others(path: Path) -> bool:
    return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))

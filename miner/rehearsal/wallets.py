"""Wallets of a rehearsal: made by the SDK, unencrypted, in a folder of their own, worth nothing elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOTKEY = "default"


@dataclass(frozen=True, slots=True)
class Identity:
    """A wallet's `name`, its folder's `path`, and its two addresses."""

    name: str
    path: Path
    hotkey: str
    coldkey: str


def identity(path: Path, name: str) -> Identity:
    """The wallet `name` under `path`, made if it is not there yet."""
    import bittensor

    wallet = bittensor.Wallet(name=name, hotkey=HOTKEY, path=str(path))
    if not wallet.hotkey_file.exists_on_device():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        wallet.create_new_coldkey(use_password=False, overwrite=True, suppress=True)
        wallet.create_new_hotkey(use_password=False, overwrite=True, suppress=True)
    return Identity(name, path, str(wallet.hotkey.ss58_address), str(wallet.coldkeypub.ss58_address))


def load_keypair(path: Path, name: str, hotkey: str = HOTKEY) -> Any:
    """The signing hotkey of a wallet. Raises FileNotFoundError when there is none."""
    import bittensor

    wallet = bittensor.Wallet(name=name, hotkey=hotkey, path=str(path.expanduser()))
    if not wallet.hotkey_file.exists_on_device():
        raise FileNotFoundError(f"there is no hotkey {hotkey!r} of wallet {name!r} under {path}")
    return wallet.hotkey

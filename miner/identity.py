"""Our hotkey: the only secret the miner ever reads. The coldkey file is never opened."""

from __future__ import annotations

from typing import Any

from miner.errors import OperatorError
from miner.settings import Wallet


class IdentityError(OperatorError):
    """The hotkey cannot be used; the message is a sentence for the operator."""


def load_hotkeys(wallet: Wallet) -> list[Any]:
    """As `load_hotkey`, of every hotkey that is served, in the order of their ports."""
    return [load_hotkey(wallet, name) for name in wallet.names]


def load_hotkey(wallet: Wallet, name: str | None = None) -> Any:
    """The signing keypair in a hotkey file of the wallet (`.ss58_address`, `.sign`), by default the first
    that is served. Raises IdentityError.

    An encrypted hotkey is refused: a daemon that restarts by itself has nobody to type a password.
    """
    wallet = wallet.model_copy(update={"hotkey": name or wallet.names[0]})
    import bittensor

    folder = wallet.path.expanduser()
    path = folder / wallet.name / "hotkeys" / wallet.hotkey
    if not path.is_file():
        raise IdentityError(f"no hotkey file at {path}; create it with: {_create_command(wallet)}")
    opened = bittensor.Wallet(name=wallet.name, hotkey=wallet.hotkey, path=str(folder))
    if opened.hotkey_file.is_encrypted():
        raise IdentityError(f"the hotkey file {path} is encrypted; a daemon needs it unencrypted")
    try:
        return opened.hotkey
    except (ValueError, OSError, bittensor.keyfiles.KeyfileError) as error:
        raise IdentityError(f"the hotkey file {path} cannot be read: {error}") from error


def _create_command(wallet: Wallet) -> str:
    return f"btcli --wallet {wallet.name} --wallet-hotkey {wallet.hotkey} wallet new-hotkey"

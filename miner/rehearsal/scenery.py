"""What a rehearsal needs before anything runs: a folder, wallets, a local chain with its neurons."""

from __future__ import annotations

import fcntl
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from miner.rehearsal.options import CHAIN_FILE, NETUID, VALIDATOR, WALLETS

if TYPE_CHECKING:
    from miner.chain.local import LocalChain

MINER = "rehearsal-miner"
RIVALS = 2
VALIDATOR_ALPHA = 50_000.0
RULES: dict[str, Any] = {
    "netuid": NETUID,
    "immunity_period": 600,
    "serving_rate_limit": 1,
    "weights_rate_limit": 1,
    "allow_loopback": True,
}
"""The local chain's rules where they differ from the public one's: quicker, and on one machine."""


class SceneryError(Exception):
    """The rehearsal cannot be set up; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Scenery:
    """A rehearsal's `folder` and what lies in it."""

    folder: Path

    @property
    def chain(self) -> Path:
        return self.folder / CHAIN_FILE

    @property
    def wallets(self) -> Path:
        return self.folder / WALLETS

    @property
    def miner_data(self) -> Path:
        return self.folder / "miner"

    @property
    def miner_log(self) -> Path:
        return self.folder / "miner.log"


def claim(folder: Path) -> IO[str]:
    """Make the folder and hold it for this process while the returned file is open. Raises SceneryError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise SceneryError(f"--data {folder} cannot be used: {error.strerror or error}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise SceneryError(f"a rehearsal is running in {folder}; stop it, or give another --data") from None
    return lock


def prepare(folder: Path, *, block_s: float, tempo: int) -> Scenery:
    """Make what is missing: wallets, chain, neurons. `block_s` and `tempo` are those of a new chain."""
    from miner.chain.local import LocalChain
    from miner.rehearsal.wallets import identity

    scenery = Scenery(folder)
    chain = LocalChain(scenery.chain)
    if not scenery.chain.is_file():
        chain = LocalChain.create(scenery.chain, block_s=block_s, tempo=tempo, **RULES)
    validator, miner = (identity(scenery.wallets, name) for name in (VALIDATOR, MINER))
    _register(chain, validator.hotkey, validator.coldkey, alpha=VALIDATOR_ALPHA, permit=True)
    _register(chain, miner.hotkey, miner.coldkey)
    for number in range(RIVALS):
        _register(chain, _rival(number))
    return scenery


def _register(chain: LocalChain, hotkey: str, coldkey: str | None = None, **standing: Any) -> None:
    from miner.chain.local_state import Rejected

    try:
        chain.register(hotkey, coldkey, **standing)
    except Rejected as error:
        if str(error) != "HotKeyAlreadyRegisteredInSubNet":
            raise SceneryError(f"{hotkey} cannot be registered on {chain.path}: {error}") from error


def _rival(number: int) -> str:
    """A registered hotkey that serves nothing; its key is public knowledge."""
    from bittensor.keyfiles import Keypair

    return str(Keypair.create_from_uri(f"//rehearsal/rival/{number}").ss58_address)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody holds at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True

"""The stock Axon with a trivial model, for comparison. Runs inside an old SDK's environment.

Reads one JSON line {"port", "miner", "allowed": [ss58]}, answers one when it listens, stops at end of input.
"""

# No `from __future__ import annotations` here: Axon.attach reads the functions' annotations as classes.
import sys
import time
from typing import Tuple  # noqa: UP035

from old_sdk import ImageSynapse, answer, bt, command, keypair


class MinerWallet:
    """The two attributes of a wallet that an Axon reads."""

    def __init__(self, uri: str) -> None:
        self.hotkey = keypair(uri)
        self.coldkeypub = keypair(f"{uri}//cold")


async def predict(synapse: ImageSynapse) -> ImageSynapse:
    synapse.prediction = 0.75
    return synapse


def main() -> None:
    settings = command()
    assert settings is not None, "no settings on standard input"
    allowed = frozenset(settings["allowed"])

    async def refuse(synapse: ImageSynapse) -> Tuple[bool, str]:  # noqa: UP006  the Axon compares annotations, and these two differ
        known = synapse.dendrite.hotkey in allowed
        return not known, "" if known else "Unrecognized hotkey"

    async def priority(synapse: ImageSynapse) -> float:
        return 1.0

    axon = bt.Axon(
        wallet=MinerWallet(settings["miner"]), port=settings["port"], ip="127.0.0.1", external_ip="127.0.0.1"
    )
    axon.attach(forward_fn=predict, blacklist_fn=refuse, priority_fn=priority).start()
    while not axon.fast_server.started:
        time.sleep(0.01)
    answer({"version": bt.__version__, "port": settings["port"]})
    sys.stdin.read()
    axon.stop()


main()

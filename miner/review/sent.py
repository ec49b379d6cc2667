"""Labels that validators send along with a challenge: on the test network they are the truth."""

from __future__ import annotations

from collections.abc import Sequence

from miner.ledger import Ledger
from miner.ledger.labels import NONE, ROADWORK, TESTNET
from miner.records import Exchange
from miner.settings import Settings

NOTE = "testnet_label:"
TEST_NETUID = 323


class SentLabels:
    """A recorder's sink: what a challenge says of its own picture goes into the ledger. Put it before the
    ledger, which then writes both together.

    `believed` false: nothing does. On the main network no validator has reason to send a label, and one who
    does may want our models to learn something wrong.
    """

    def __init__(self, ledger: Ledger, *, believed: bool) -> None:
        self._ledger, self._believed = ledger, believed

    def write(self, batch: Sequence[Exchange]) -> None:
        for exchange in batch if self._believed else ():
            word = next((note for note in exchange.notes if note.startswith(NOTE)), None)
            if word is not None and exchange.sha256:
                label = ROADWORK if word == f"{NOTE}1" else NONE
                self._ledger.label(
                    exchange.sha256, label, source=TESTNET, reviewer=exchange.caller, at_ns=exchange.at_ns
                )


def believed(settings: Settings) -> bool:
    """Whether to believe labels that come with a challenge."""
    word = settings.review.sent_labels
    test = settings.subtensor.network in ("test", "local") or settings.netuid == TEST_NETUID
    return word == "always" or (word == "testnet" and test)

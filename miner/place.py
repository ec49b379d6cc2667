"""One hotkey's place on the wire: its port, who may ask it, its address on the chain, its pay.

Engine, snapshot, ledger and recorder are shared by all places of a miner; which hotkey was asked stands in
every request, nonce and row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypedDict

from miner.chain.announce import Announcer
from miner.chain.client import Chain
from miner.chain.snapshot import Snapshot
from miner.chain.watch import epoch_passed
from miner.engine.interface import Engine
from miner.records import Keep, Record, Refusal
from miner.rewards.onchain import Payout, payout
from miner.settings import Axon, Settings
from miner.wire.admission import Admission
from miner.wire.auth import authenticators
from miner.wire.endpoint import Endpoint
from miner.wire.server import Server


class PlaceRow(TypedDict):
    """`uid` None where it is not registered; `address` the announcer's outcome, `sentence` what it means."""

    hotkey: str
    uid: int | None
    port: int
    address: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Shared:
    """What all places have in common."""

    settings: Settings
    chain: Chain
    engine: Engine
    record: Record
    refused: Refusal
    keep: Keep


class Place:
    """`server` listens on `axon.port`; `admission` and `pay` follow the snapshots that they are told of."""

    def __init__(self, keypair: Any, axon: Axon, shared: Shared) -> None:
        self.hotkey: str = keypair.ss58_address
        self.admission = Admission(shared.settings.blacklist, own_hotkey=self.hotkey)
        self.server = self._server(axon, shared)
        local = shared.settings.subtensor.network == "local"
        self.announcer = Announcer(shared.chain, keypair, axon, local=local)
        self._snapshot: Snapshot | None = None

    def _server(self, axon: Axon, shared: Shared) -> Server:
        wire = shared.settings.wire
        endpoint = Endpoint(
            hotkey=self.hotkey,
            admission=self.admission,
            authenticators=authenticators(self.hotkey),
            engine=shared.engine,
            record=shared.record,
            refused=shared.refused,
            wire=wire,
            keep=shared.keep,
        )
        return Server(endpoint, axon, wire, refused=shared.refused)

    def pay(self, new: Snapshot, paid: Callable[[Payout], object]) -> None:
        """Tell `paid` what an epoch between the last snapshot and this one brought this hotkey."""
        old, self._snapshot = self._snapshot, new
        row = payout(new, self.hotkey)
        if row is not None and epoch_passed(old, new):
            paid(row)

    def row(self, snapshot: Snapshot | None) -> PlaceRow:
        return PlaceRow(
            hotkey=self.hotkey,
            uid=None if snapshot is None else snapshot.uid_of(self.hotkey),
            port=self.server.port,
            address=self.announcer.outcome,
            sentence=self.announcer.sentence,
        )

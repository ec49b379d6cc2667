"""The rehearsal validator's chain side: whom it can ask, when it sets weights, what the epochs paid."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from miner.chain.client import Chain
from miner.chain.errors import ChainDown, ChainRefused
from miner.chain.snapshot import Neuron, Snapshot
from miner.rehearsal.deck import Target, eligible
from miner.rehearsal.scores import Scores
from miner.rehearsal.show import Board, MinerRow

WEIGHTS_PER_EPOCH = 360 / 100
"""The subnet's validators set weights every 100 blocks of an epoch of 360."""
REFRESH_S = 1.0
SETTLE_EPOCHS = 3
"""How many epochs `settle` waits for at most."""


class Subnet:
    """One validator's view of a chain, kept fresh by `keep()`.

    `targets`  uid -> miner that can be asked now; `anyone` is set while there is one.
    `board`    what the view shows; `changed` is told after each look, `note` gets remarks.
    """

    def __init__(
        self,
        chain: Chain,
        keypair: Any,
        scores: Scores,
        *,
        changed: Callable[[Board], None],
        note: Callable[[str], None],
        refresh_s: float = REFRESH_S,
    ) -> None:
        self._chain, self._keypair, self._scores = chain, keypair, scores
        self._changed, self._note, self._refresh_s = changed, note, refresh_s
        self._snapshot: Snapshot | None = None
        self._first_stakes: dict[str, float] = {}
        self._weights_at = 0
        self.targets: dict[int, Target] = {}
        self.anyone = asyncio.Event()
        self.board = Board()

    async def keep(self) -> None:
        """Follow the chain and set weights when they are due, until cancelled. Waits for a failing chain."""
        trouble = ""
        while True:
            try:
                await self.refresh()
                trouble = ""
            except (ChainDown, ChainRefused) as error:
                if str(error) != trouble:
                    trouble = str(error)
                    self._note(f"chain: {trouble}")
            await asyncio.sleep(self._refresh_s)

    async def refresh(self) -> None:
        """One look at the chain, and weights if they are due. Raises ChainDown, ChainRefused."""
        snapshot = await self._chain.snapshot()
        self._take(snapshot)
        every = max(1, round(snapshot.tempo / WEIGHTS_PER_EPOCH))
        weights = self._scores.weights()
        if weights and snapshot.block - self._weights_at >= every:
            await self._chain.set_weights(weights, self._keypair)
            self._weights_at = snapshot.block

    async def settle(self) -> None:
        """Wait until an epoch has paid for weights set from now on; gives up after some epochs."""
        now = self._snapshot
        if now is None or not self._scores.weights():
            return
        until = now.block + SETTLE_EPOCHS * now.tempo
        while self._snapshot is not None and self._snapshot.block < until:
            if self._snapshot.last_epoch > self._weights_at > now.block:
                return
            await asyncio.sleep(self._refresh_s / 4)

    def _take(self, snapshot: Snapshot) -> None:
        before, self._snapshot = self._snapshot, snapshot
        if before is None:
            self._weights_at = snapshot.block
        elif snapshot.last_epoch > before.last_epoch:
            self.board.epochs += 1
        self.targets = eligible(snapshot)
        (self.anyone.set if self.targets else self.anyone.clear)()
        self.board.block = snapshot.block
        self.board.miners = [self._row(neuron) for neuron in snapshot.neurons if self._is_miner(neuron)]
        self._changed(self.board)

    def _is_miner(self, neuron: Neuron) -> bool:
        assert self._snapshot is not None
        return neuron.hotkey not in (self._keypair.ss58_address, self._snapshot.owner_hotkey)

    def _row(self, neuron: Neuron) -> MinerRow:
        """Stake only ever changes by pay on a rehearsal's chain."""
        earlier = self._first_stakes.setdefault(neuron.hotkey, neuron.stake)
        return MinerRow(
            uid=neuron.uid,
            hotkey=neuron.hotkey,
            address=neuron.axon or "",
            standing=self._scores.standing(neuron.uid),
            weight=self._scores.weights().get(neuron.uid, 0.0),
            incentive=neuron.incentive,
            alpha=neuron.stake - earlier,
        )

"""What the chain pays for it: a snapshot's amounts per epoch and per day."""

from __future__ import annotations

from dataclasses import dataclass

from miner.chain.snapshot import Neuron, Snapshot, pruning_position


@dataclass(frozen=True, slots=True)
class Payout:
    """What one epoch paid one hotkey.

    `block`      of the epoch; `seen` the block of the snapshot that showed it.
    `alpha`      paid; `tao` the same at `price` (TAO per alpha), not what a sale would return.
    `rank`       1 for the highest incentive on the subnet; `incentive` our share of it.
    `position`   registrations until deregistration (0: next); None when not at risk.
    """

    block: int
    seen: int
    hotkey: str
    uid: int
    alpha: float
    tao: float
    price: float
    rank: int
    incentive: float
    position: int | None


def alpha_per_day(snapshot: Snapshot, neuron: Neuron) -> float:
    """Alpha a day at the rate of the last epoch: emission x blocks per day / tempo."""
    return neuron.emission * snapshot.blocks_per_day / snapshot.tempo if snapshot.tempo else 0.0


def tao_per_day(snapshot: Snapshot, neuron: Neuron) -> float:
    """The same in TAO at the spot price."""
    return alpha_per_day(snapshot, neuron) * snapshot.price


def payout(snapshot: Snapshot, hotkey: str) -> Payout | None:
    """The hotkey's row of the last epoch, or None when it is not registered."""
    neuron = snapshot.by_hotkey.get(hotkey)
    if neuron is None:
        return None
    return Payout(
        block=snapshot.last_epoch,
        seen=snapshot.block,
        hotkey=hotkey,
        uid=neuron.uid,
        alpha=neuron.emission,
        tao=neuron.emission * snapshot.price,
        price=snapshot.price,
        rank=1 + sum(n.incentive > neuron.incentive for n in snapshot.neurons),
        incentive=neuron.incentive,
        position=pruning_position(snapshot, hotkey),
    )

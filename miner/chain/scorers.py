"""What each validator thinks of us, as far as the chain shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from miner.chain.snapshot import Neuron, Snapshot

Rows = Mapping[int, Mapping[int, float]]


@dataclass(frozen=True, slots=True)
class Scorer:
    """One validator.

    `share`    its part of all validators' stake, 0 to 1.
    `set_s`    when it last set weights, wall clock, from the block's number.
    `weight`   the part of its weights that is ours, 0 to 1; None when it has none on the chain.
    `ceiling`  our weight over the largest that it gives a miner: since weights are scores over their sum, and
               no score is above 1, ours is at most this. None when it pays no miner at all.
    `bond`     its bond to us, 0 to 1, the largest of all validators' being 1; None without any.
    """

    hotkey: str
    uid: int
    stake: float
    share: float
    set_s: float
    weight: float | None
    ceiling: float | None
    bond: float | None


def scorers(snapshot: Snapshot, hotkey: str, weights: Rows, bonds: Rows) -> list[Scorer]:
    """The validators with permit and stake, the largest stake first, and how they see `hotkey`."""
    ours = snapshot.uid_of(hotkey)
    validators = [n for n in snapshot.neurons if n.validator_permit and n.stake > 0 and n.hotkey != hotkey]
    total = sum(n.stake for n in validators)
    found = [
        Scorer(
            hotkey=n.hotkey,
            uid=n.uid,
            stake=n.stake,
            share=n.stake / total,
            set_s=snapshot.taken_at - max(0, snapshot.block - n.last_update) * snapshot.block_s,
            weight=_weight(weights.get(n.uid), ours),
            ceiling=_ceiling(snapshot, n, weights.get(n.uid), ours),
            bond=bonds.get(n.uid, {}).get(ours) if ours is not None else None,
        )
        for n in validators
    ]
    return sorted(found, key=lambda one: -one.stake)


def _weight(row: Mapping[int, float] | None, ours: int | None) -> float | None:
    total = sum(row.values()) if row else 0.0
    if row is None or ours is None or total <= 0:
        return None
    return row.get(ours, 0.0) / total


def _ceiling(
    snapshot: Snapshot, validator: Neuron, row: Mapping[int, float] | None, ours: int | None
) -> float | None:
    if row is None or ours is None:
        return None
    burning = {n.uid for n in snapshot.neurons if snapshot.owned_by_owner(n)} - {ours}
    largest = max((w for uid, w in row.items() if uid not in burning and uid != validator.uid), default=0.0)
    return row.get(ours, 0.0) / largest if largest > 0 else None

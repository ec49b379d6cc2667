"""A subnet at one block, as plain data. Imports no bittensor, so that anything may read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

BLOCK_S = 12.0
"""Seconds per block of the public chain."""
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Neuron:
    """One UID's row.

    `stake`      total stake in alpha (the hotkey's alpha plus the chain's share of its root TAO).
    `axon`       the served "ip:port" ("[ip]:port" for IPv6), or None.
    `incentive`, `dividends`  shares in [0, 1] at the last epoch.
    `emission`   alpha paid to this UID at the last epoch (incentive and dividends together).
    `last_update`, `block_at_registration`  block numbers.
    """

    uid: int
    hotkey: str
    coldkey: str
    stake: float
    validator_permit: bool
    axon: str | None
    incentive: float
    emission: float
    dividends: float
    last_update: int
    block_at_registration: int
    active: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One subnet at one block.

    `tempo`       blocks between two epochs.
    `taken_at`    wall clock of this host, seconds since 1970.
    `price`       TAO per alpha.
    `neurons`     ordered by uid; `by_hotkey` is derived from it unless given.
    `last_epoch`  block of the last epoch; 0 when unknown.
    `min_non_immune_uids`  the chain does not prune a non-immune UID while there are this few or fewer.
    `block_s`     seconds per block (12 on the public chain).
    """

    netuid: int
    block: int
    tempo: int
    taken_at: float
    price: float
    owner_hotkey: str
    immunity_period: int
    max_uids: int
    neurons: tuple[Neuron, ...]
    by_hotkey: Mapping[str, Neuron] = field(default_factory=dict, repr=False)
    owner_coldkey: str = ""
    last_epoch: int = 0
    min_non_immune_uids: int = 0
    block_s: float = BLOCK_S

    def __post_init__(self) -> None:
        if not self.by_hotkey:
            object.__setattr__(self, "by_hotkey", {n.hotkey: n for n in self.neurons})

    @property
    def blocks_per_day(self) -> float:
        return DAY_S / self.block_s

    def uid_of(self, hotkey: str) -> int | None:
        """The hotkey's UID, or None when it is not registered here."""
        neuron = self.by_hotkey.get(hotkey)
        return None if neuron is None else neuron.uid

    def immune(self, neuron: Neuron) -> bool:
        """Whether the neuron is too young to be pruned while older ones are left."""
        return self.block - neuron.block_at_registration < self.immunity_period

    def owned_by_owner(self, neuron: Neuron) -> bool:
        """Whether the subnet's owner holds this hotkey: the chain burns incentive that goes there."""
        return neuron.hotkey == self.owner_hotkey or bool(
            self.owner_coldkey and neuron.coldkey == self.owner_coldkey
        )

    @property
    def full(self) -> bool:
        return len(self.neurons) >= self.max_uids


def pruning_order(snapshot: Snapshot) -> tuple[Neuron, ...]:
    """Who would be deregistered by the next registrations, first victim first; empty while a UID is free.

    The chain's `get_neuron_to_prune`, repeated: among those past immunity while they are more than
    `min_non_immune_uids`, else among the immune, the lowest (emission, block_at_registration, uid). The
    subnet owner's hotkey is never taken. Those whom that floor protects are left out: they cannot be pruned
    now. Newcomers take a victim's place with no emission: in the immune part one may outlive this order.
    """
    if not snapshot.full:
        return ()
    candidates = sorted(
        (n for n in snapshot.neurons if n.hotkey != snapshot.owner_hotkey),
        key=lambda n: (n.emission, n.block_at_registration, n.uid),
    )
    immune = [n for n in candidates if snapshot.immune(n)]
    free = [n for n in candidates if not snapshot.immune(n)]
    prunable = max(0, len(free) - snapshot.min_non_immune_uids)
    return tuple(free[:prunable] + immune)


def pruning_position(snapshot: Snapshot, hotkey: str) -> int | None:
    """How many registrations away from deregistration (0: next); None when not at risk or not registered."""
    order = pruning_order(snapshot)
    return next((i for i, n in enumerate(order) if n.hotkey == hotkey), None)

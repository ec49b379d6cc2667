"""Where each of our hotkeys stands: on the chain, with its validators, and how much it was asked."""

from __future__ import annotations

from collections.abc import Sequence

from miner.chain.snapshot import Snapshot, pruning_position
from miner.place import PlaceRow
from miner.rewards.onchain import alpha_per_day, tao_per_day
from miner.rewards.rows import ValidatorRow, by_stake
from miner.status import HotkeyRow, RewardStatus


def reward_of(snapshot: Snapshot | None, hotkey: str) -> RewardStatus | None:
    """Its row of the newest snapshot; None while not registered."""
    neuron = None if snapshot is None else snapshot.by_hotkey.get(hotkey)
    if snapshot is None or neuron is None:
        return None
    return RewardStatus(
        incentive=neuron.incentive,
        emission_alpha=neuron.emission,
        alpha_per_day=alpha_per_day(snapshot, neuron),
        tao_per_day=tao_per_day(snapshot, neuron),
        rank=1 + sum(n.incentive > neuron.incentive for n in snapshot.neurons),
        position=pruning_position(snapshot, hotkey),
    )


def hotkey_row(
    place: PlaceRow, snapshot: Snapshot | None, validators: Sequence[ValidatorRow], asked: tuple[int, int]
) -> HotkeyRow:
    """`validators` as they see this hotkey; `asked` (challenges, answered ones) since start."""
    neuron = None if snapshot is None else snapshot.by_hotkey.get(place["hotkey"])
    immune = 0
    if snapshot is not None and neuron is not None:
        immune = max(0, neuron.block_at_registration + snapshot.immunity_period - snapshot.block)
    challenges, answered = asked
    return HotkeyRow(
        hotkey=place["hotkey"],
        uid=place["uid"],
        port=place["port"],
        address=place["address"],
        sentence=place["sentence"],
        immune_blocks=immune,
        reward=reward_of(snapshot, place["hotkey"]),
        twin=by_stake(validators),
        challenges=challenges,
        answered=answered,
    )

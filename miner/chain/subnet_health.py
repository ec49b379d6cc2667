"""Whether the subnet pays miners at all: how much incentive is burned, and whether validators are at work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from miner.chain.snapshot import Neuron, Snapshot

RECENT_TEMPOS = 2
"""A validator is at work when it has set weights within this many tempos."""
BURN_FAIL, BURN_WARN = 0.99, 0.5
IDLE_STAKE = 0.5
MINERS_CUT = 0.5
"""The miners' part of what an epoch pays to UIDs (41 of 82 %), where the rows do not tell."""


@dataclass(frozen=True, slots=True)
class SubnetHealth:
    """One look at a subnet.

    `level`       "ok", "warn" or "fail"; `sentence` says why in plain words.
    `burned`      share of the incentive, 0 to 1, that goes to the owner's hotkeys and is burned by the chain;
                  None when nobody was paid any. `burned_next` the same by the weights set since.
    `validators`  UIDs with permit and stake; `at_work` those that set weights lately, `at_work_stake` their
                  share of the validators' stake, 0 to 1.
    `miners_alpha_day`, `miners_tao_day`  what all miners together earn a day at the last epoch's rate.
    """

    level: str
    sentence: str
    burned: float | None
    burned_next: float | None
    validators: int
    at_work: int
    at_work_stake: float
    miners_alpha_day: float
    miners_tao_day: float
    price: float


def assess(snapshot: Snapshot, weights: Mapping[int, Mapping[int, float]] | None = None) -> SubnetHealth:
    """Judge a subnet by its snapshot, and by the validators' weights where they are at hand."""
    validators = [n for n in snapshot.neurons if n.validator_permit and n.stake > 0]
    at_work = [n for n in validators if snapshot.block - n.last_update <= RECENT_TEMPOS * snapshot.tempo]
    stake, working = sum(n.stake for n in validators), sum(n.stake for n in at_work)
    burned = burned_share(snapshot)
    following = None if weights is None else burned_by_weights(snapshot, weights)
    alpha_day = (
        _server_pot(snapshot) * (1 - (burned or 0.0)) * snapshot.blocks_per_day / max(1, snapshot.tempo)
    )
    share = working / stake if stake else 0.0
    level, sentence = _judge(burned, following, len(validators), share)
    return SubnetHealth(
        level=level,
        sentence=sentence,
        burned=burned,
        burned_next=following,
        validators=len(validators),
        at_work=len(at_work),
        at_work_stake=share,
        miners_alpha_day=alpha_day,
        miners_tao_day=alpha_day * snapshot.price,
        price=snapshot.price,
    )


def burned_share(snapshot: Snapshot) -> float | None:
    """Share of the last epoch's incentive that went to the owner's hotkeys; None when there was none."""
    total = sum(n.incentive for n in snapshot.neurons)
    owner = sum(n.incentive for n in snapshot.neurons if snapshot.owned_by_owner(n))
    return owner / total if total > 0 else None


def burned_by_weights(snapshot: Snapshot, weights: Mapping[int, Mapping[int, float]]) -> float | None:
    """Stake-weighted share of the validators' weights on the owner's hotkeys; None without any weights."""
    owned = {n.uid for n in snapshot.neurons if snapshot.owned_by_owner(n)}
    rows = [(n.stake, weights.get(n.uid, {})) for n in snapshot.neurons if n.validator_permit]
    rows = [(stake, row) for stake, row in rows if stake > 0 and sum(row.values()) > 0]
    if not rows:
        return None
    burned = [stake * sum(row.get(uid, 0.0) for uid in owned) / sum(row.values()) for stake, row in rows]
    return sum(burned) / sum(stake for stake, _ in rows)


def _server_pot(snapshot: Snapshot) -> float:
    """Alpha that the last epoch shared out by incentive, the burned part included.

    Read off the rows that earned nothing else: their emission over their incentive.
    """
    pure: list[Neuron] = [n for n in snapshot.neurons if n.incentive > 0 and n.dividends == 0]
    share = sum(n.incentive for n in pure)
    if share > 0:
        return sum(n.emission for n in pure) / share
    paid = any(n.incentive > 0 for n in snapshot.neurons)
    return MINERS_CUT * sum(n.emission for n in snapshot.neurons) if paid else 0.0


def _judge(burned: float | None, following: float | None, validators: int, working: float) -> tuple[str, str]:
    worst = max((b for b in (burned, following) if b is not None), default=None)
    if validators == 0 or working == 0:
        return "fail", "Do not register now: no validator has set weights lately, so nobody scores miners."
    if worst is None:
        return "fail", "Do not register now: no miner was paid at the last epoch."
    if worst >= BURN_FAIL:
        return "fail", f"Do not register now: {worst:.0%} of the incentive goes to the owner and is burned."
    if worst >= BURN_WARN:
        return "warn", f"Think twice: {worst:.0%} of the incentive goes to the owner and is burned."
    if working < IDLE_STAKE:
        return "warn", f"Validators with only {working:.0%} of the stake have set weights lately."
    return "ok", f"Miners are paid: {worst:.0%} of the incentive is burned, validators are at work."

"""The hyperparameters of a local chain."""

from __future__ import annotations

from dataclasses import dataclass

U16 = 65_535


@dataclass(frozen=True, slots=True)
class Rules:
    """The subnet's hyperparameters, fixed when the file is made. Defaults: the public chain's for subnet 72.

    `block_s`           seconds per block; `genesis_block` the number of the first.
    `alpha_per_block`   alpha paid out per block: 41 % by incentive, 41 % by dividends, 18 % to the owner.
    `tao_weight`        how much of a root TAO counts as alpha in total stake.
    `stake_threshold`   alpha below which a stake counts as none for permits and weights.
    `allow_loopback`    lets 127.0.0.1 be served, which the real chain refuses: for rehearsals on one machine.
    """

    netuid: int = 72
    block_s: float = 12.0
    genesis_block: int = 8_000_000
    tempo: int = 360
    immunity_period: int = 21_600
    max_uids: int = 256
    max_validators: int = 64
    min_non_immune_uids: int = 10
    serving_rate_limit: int = 50
    weights_rate_limit: int = 100
    min_allowed_weights: int = 1
    max_weight_limit: int = U16
    activity_cutoff: int = 5_000
    stake_threshold: float = 1_000.0
    tao_weight: float = 0.18
    alpha_per_block: float = 1.0
    kappa: float = 0.5
    bonds_ema: float = 0.1
    allow_loopback: bool = False

    def __post_init__(self) -> None:
        if self.block_s <= 0 or self.tempo < 1 or self.max_uids < 1:
            raise ValueError("block_s, tempo and max_uids must be positive")

"""What the chain says: this host's clock, our registration, and whether the subnet pays anybody."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from miner.chain.client import Chain
from miner.chain.errors import ChainDown, ChainRefused
from miner.chain.snapshot import Snapshot, pruning_position
from miner.chain.subnet_health import RECENT_TEMPOS, assess
from miner.doctor.finding import Finding, fail, ok, skip, warn

CLOCK_FAIL_S = 4.0
"""Validators' nonces are refused beyond this (wire.max_ahead_s), and ours by them."""
SOON = 10
"""Registrations until deregistration that are worth a warning; and as many cheaper subnets."""
IDLE_STAKE = 0.5
"""With less of the validators' stake at work a miner's score rests on few."""


ELSEWHERE = "Wait for the subnet's return, or run the classifier for yourself: it needs no subnet."


async def look(chain: Chain, hotkey: str | None, wall: Callable[[], float] = time.time) -> list[Finding]:
    """All of it over one connection. Without a chain, one finding says so and the rest is left out."""
    try:
        began = wall()
        stamp = await chain.timestamp()
        snapshot, weights = await chain.snapshot(), await chain.weights()
    except (ChainDown, ChainRefused) as error:
        return [
            fail(
                "chain",
                f"{chain.endpoint} does not answer: {error}.",
                "Set subtensor.chain_endpoint to one that does.",
            ),
            skip("subnet", "Nothing can be said about registration and rewards without the chain."),
        ]
    return [
        ok("chain", f"{chain.endpoint} answers: block {snapshot.block:,}."),
        clock(began - stamp, snapshot.block_s),
        pays(snapshot, weights),
        validators(snapshot),
        await price(chain),
        registration(snapshot, hotkey),
        await collateral(chain, snapshot, hotkey),
    ]


async def place(chain: Chain, hotkey: str | None) -> Finding:
    """The registration of one more hotkey."""
    try:
        return registration(await chain.snapshot(), hotkey)
    except (ChainDown, ChainRefused) as error:
        return skip("registration", f"{hotkey} cannot be looked up: {error}.")


def clock(ahead_s: float, block_s: float) -> Finding:
    """`ahead_s` our clock against the newest block's time, which is up to a block old when all is well."""
    off = ahead_s if ahead_s < 0 else max(0.0, ahead_s - block_s)
    if abs(off) > CLOCK_FAIL_S:
        way = "ahead of" if off > 0 else "behind"
        return fail(
            "clock",
            f"This host's clock is about {abs(off):.0f} s {way} the chain: honest requests would be refused.",
            "Switch on time synchronisation: timedatectl set-ntp true.",
        )
    return ok("clock", "This host's clock agrees with the chain's to within a block.")


def pays(snapshot: Snapshot, weights: Mapping[int, Mapping[int, float]]) -> Finding:
    """`subnet_health`'s judgement, which the miner repeats while it runs."""
    health = assess(snapshot, weights)
    said = f"{health.sentence} All miners share {health.miners_tao_day:.3g} TAO a day."
    if health.level == "ok":
        return ok("subnet", said)
    found = fail if health.level == "fail" else warn
    return found("subnet", said, ELSEWHERE)


def validators(snapshot: Snapshot) -> Finding:
    """Whether those who score miners are at work: they set weights after they have asked."""
    health = assess(snapshot)
    said = (
        f"{health.at_work} of {health.validators} validators, with {health.at_work_stake:.0%} of their "
        f"stake, have set weights in the last {RECENT_TEMPOS} tempos."
    )
    if health.at_work_stake >= IDLE_STAKE:
        return ok("validators", said)
    return (warn if health.at_work else fail)("validators", said, ELSEWHERE)


async def price(chain: Chain) -> Finding:
    """Where the subnet stands among all by price: a full network drops the cheapest for a new one. That goes
    by a moving average; the spot price is what is read here."""
    try:
        prices, limit = await chain.prices(), await chain.subnet_limit()
    except (ChainDown, ChainRefused) as error:
        return skip("price", f"The subnets' prices cannot be read: {error}.")
    netuid = chain.netuid
    if netuid not in prices:
        return skip("price", f"The chain names no price of subnet {netuid}.")
    cheaper = sum(other < prices[netuid] for other in prices.values())
    full = len(prices) >= limit
    said = (
        f"Subnet {netuid} is number {len(prices) - cheaper} of {len(prices)} by price "
        f"({prices[netuid]:.4g} TAO per alpha)"
    )
    if not full or cheaper >= SOON:
        return ok("price", f"{said}.")
    why = f"{said}, and the network is full: the next new subnet takes the place of the cheapest"
    if cheaper == 0:
        return fail("price", f"Do not register now: {why}, which is this one.", ELSEWHERE)
    return warn("price", f"Think twice: {why}, and {cheaper} are cheaper.", ELSEWHERE)


def registration(snapshot: Snapshot, hotkey: str | None) -> Finding:
    if hotkey is None:
        return skip("registration", "Without a hotkey there is nothing to look up.")
    neuron = snapshot.by_hotkey.get(hotkey)
    if neuron is None:
        return fail(
            "registration",
            f"The hotkey is not registered on subnet {snapshot.netuid}.",
            f"Read the finding on the subnet first; then: btcli subnets register --netuid {snapshot.netuid}.",
        )
    said = f"UID {neuron.uid}, registered {_days(snapshot, neuron.block_at_registration)} ago"
    if snapshot.immune(neuron):
        left = snapshot.immunity_period - (snapshot.block - neuron.block_at_registration)
        return ok("registration", f"{said}; immune for another {left * snapshot.block_s / 86400:.1f} days.")
    position = pruning_position(snapshot, hotkey)
    if position is not None and position < SOON:
        return warn(
            "registration",
            f"{said}; deregistered after {position + 1} more registrations.",
            "Raise the score (accuracy, uptime): the lowest emission goes first.",
        )
    return ok("registration", f"{said}; not among the next {SOON} to be deregistered.")


async def collateral(chain: Chain, snapshot: Snapshot, hotkey: str | None) -> Finding:
    """What part of the registration price would stand as collateral."""
    try:
        policy = await chain.collateral_policy()
    except (ChainDown, ChainRefused) as error:
        return skip("collateral", f"The collateral policy cannot be read: {error}.")
    if hotkey in snapshot.by_hotkey or not policy["lock_share"]:
        return ok("collateral", _terms(policy))
    return warn(
        "collateral",
        _terms(policy),
        "Count it as money that comes back only as the miner earns; the hotkey cannot be swapped meanwhile.",
    )


def _terms(policy: Mapping[str, Any]) -> str:
    if not policy["lock_share"]:
        return "Registration asks for no collateral."
    return (
        f"{policy['lock_share']:.0%} of the registration price is locked as collateral, "
        f"released at {policy['drain_ratio']:g} alpha per alpha earned."
    )


def _days(snapshot: Snapshot, block: int) -> str:
    return f"{(snapshot.block - block) * snapshot.block_s / 86400:.1f} days"

"""What a chain may say: odd metagraphs and weights, through everything that reads them.

The node is not ours. Whatever it says, admission has a table, the doctor sentences, and the page figures.
"""

from __future__ import annotations

import json
import math
from random import Random
from typing import Any

from harness.fuzz.target import Finding
from harness.stage import MINER, VALIDATOR, ss58
from miner.chain.snapshot import Neuron, Snapshot, pruning_order, pruning_position
from miner.chain.subnet_health import assess
from miner.doctor import subnet
from miner.settings import Blacklist
from miner.wire.admission import Admission
from miner.wire.synapse import Rejected

NUMBERS = (0.0, -0.0, 1.0, -1.0, 1e-300, 1e300, math.inf, -math.inf, math.nan, 0.5)
WHOLE = (0, 1, -1, 2**63, 2**64, 10**30, 360, 7200)
KEYS = (ss58(MINER), ss58(VALIDATOR), "", "x", "5" * 48, "ü", "\0")


class ChainObjects:
    """Outcomes: the level of the subnet's health."""

    def case(self, rng: Random, number: int) -> bytes:
        neurons = [_neuron(rng, uid) for uid in range(rng.choice((0, 1, 2, 5, 40)))]
        fields = {
            "block": _whole(rng, 1_000_000),
            "tempo": _whole(rng, 360),
            "price": _number(rng, 0.02),
            "immunity_period": _whole(rng, 7200),
            "max_uids": _whole(rng, len(neurons)),
            "last_epoch": _whole(rng, 999_900),
            "min_non_immune_uids": _whole(rng, 10),
            "block_s": rng.choice((12.0, 0.25, 1.0)),
            "owner_hotkey": rng.choice(KEYS),
            "owner_coldkey": rng.choice(KEYS),
        }
        weights = {
            rng.choice((uid, -1, 99)): {
                rng.choice((0, 1, 99)): _number(rng, 0.5) for _ in range(rng.randrange(3))
            }
            for uid in range(rng.randrange(4))
        }
        return json.dumps({"fields": fields, "neurons": neurons, "weights": weights}).encode()

    def judge(self, case: bytes) -> str:
        told: dict[str, Any] = json.loads(case)
        neurons = tuple(Neuron(**each) for each in told["neurons"])
        found = Snapshot(netuid=72, taken_at=0.0, neurons=neurons, **told["fields"])
        weights = {int(uid): {int(to): w for to, w in row.items()} for uid, row in told["weights"].items()}
        _admitted(found)
        health = assess(found, weights)
        if health.level not in ("ok", "warn", "fail") or not health.sentence:
            raise Finding(f"health {health.level!r}: {health.sentence!r}")
        subnet.pays(found, weights)
        for hotkey in {ss58(MINER), *(each.hotkey for each in neurons)}:
            pruning_position(found, hotkey)
            subnet.registration(found, hotkey)
        if len(pruning_order(found)) > len(neurons):
            raise Finding("more are pruned than there are")
        return health.level


def _admitted(found: Snapshot) -> None:
    """Whoever is admitted holds a permit and the stake that is asked for, as numbers."""
    blacklist = Blacklist()
    admission = Admission(blacklist, own_hotkey=ss58(MINER))
    admission.update(found)
    for hotkey, stake in admission.admitted.items():
        if not stake >= blacklist.min_stake:
            raise Finding(f"{hotkey!r} is admitted with a stake of {stake}")
    for neuron in found.neurons:
        try:
            admission.check(neuron.hotkey)
        except Rejected as rejected:
            if rejected.status not in (403, 503):
                raise Finding(f"refused with {rejected.status}") from None


def _neuron(rng: Random, uid: int) -> dict[str, Any]:
    return {
        "uid": uid if rng.random() < 0.9 else _whole(rng, uid),
        "hotkey": rng.choice(KEYS) if rng.random() < 0.5 else f"hotkey-{uid}",
        "coldkey": rng.choice(KEYS),
        "stake": _number(rng, 5000.0),
        "validator_permit": rng.random() < 0.5,
        "axon": rng.choice((None, "", "1.2.3.4:8091", "[::]:0", "x")),
        "incentive": _number(rng, 0.1),
        "emission": _number(rng, 3.0),
        "dividends": _number(rng, 0.0),
        "last_update": _whole(rng, 999_000),
        "block_at_registration": _whole(rng, 900_000),
        "active": rng.random() < 0.9,
    }


def _number(rng: Random, usual: float) -> float:
    return usual if rng.random() < 0.7 else rng.choice(NUMBERS)


def _whole(rng: Random, usual: int) -> int:
    return usual if rng.random() < 0.8 else rng.choice(WHOLE)

"""Small subnets for the tests of this folder."""

from __future__ import annotations

from miner.chain.snapshot import Neuron, Snapshot


def neuron(uid, **fields):
    given = {
        "hotkey": f"hot{uid}",
        "coldkey": f"cold{uid}",
        "stake": 0.0,
        "validator_permit": False,
        "axon": None,
        "incentive": 0.0,
        "emission": 0.0,
        "dividends": 0.0,
        "last_update": 0,
        "block_at_registration": 0,
        "active": True,
    }
    return Neuron(uid=uid, **{**given, **fields})


def snapshot(*neurons, **fields):
    given = {
        "netuid": 72,
        "block": 10_000,
        "tempo": 360,
        "taken_at": 1e9,
        "price": 0.01,
        "owner_hotkey": "hot0",
        "owner_coldkey": "cold0",
        "immunity_period": 100,
        "max_uids": len(neurons),
        "last_epoch": 9_900,
    }
    return Snapshot(neurons=tuple(neurons), **{**given, **fields})

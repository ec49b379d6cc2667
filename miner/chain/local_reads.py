"""The local chain's answers to the SDK's reads: storage items, maps and runtime calls in decoded shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from miner.chain.local_rules import Rules
from miner.chain.local_state import RAO, NotModelled, State

SUBNET_LIMIT = 128
"""The public chain's."""


def storage(state: State, item: str, params: list[Any]) -> Any:
    """A storage item's decoded value; None for what is absent on a quiet subnet, as the SDK expects."""
    rules = state.rules
    if params and isinstance(params[0], int) and params[0] != rules.netuid:
        return None
    match item:
        case "Uids":
            return state.uid(params[1])
        case "LastUpdate":
            return [n["last_update"] for n in state.neurons()]
        case "ValidatorPermit":
            return [bool(n["permit"]) for n in state.neurons()]
        case "LastEpochBlock":
            return state.meta("last_epoch")
        case "BlocksSinceLastStep":
            return state.head - state.meta("last_epoch")
        case "SubnetEpochIndex":
            return state.meta("epoch_index")
        case "SubnetOwnerHotkey" | "SubnetOwner":
            return state.meta("owner_hotkey" if item == "SubnetOwnerHotkey" else "owner_coldkey")
        case "Owner":
            row = state.rows("SELECT coldkey FROM neuron WHERE hotkey = ?", params[0])
            return row[0]["coldkey"] if row else None
        case "Now":
            return round(
                1000 * (float(state.meta("genesis")) + (state.head - rules.genesis_block) * rules.block_s)
            )
        case "SubnetLimit":
            return SUBNET_LIMIT
        case "CollateralLockShare" | "CollateralDrainRatio":
            return None
        case "PendingEpochAt" | "SubnetEpochConsensus":
            return None
    if item in _HYPERPARAMETERS:
        return _HYPERPARAMETERS[item](rules)
    raise NotModelled(f"the storage item {item}")


_HYPERPARAMETERS: dict[str, Callable[[Rules], Any]] = {
    "Tempo": lambda r: r.tempo,
    "ImmunityPeriod": lambda r: r.immunity_period,
    "MinNonImmuneUids": lambda r: r.min_non_immune_uids,
    "ServingRateLimit": lambda r: r.serving_rate_limit,
    "WeightsSetRateLimit": lambda r: r.weights_rate_limit,
    "MinAllowedWeights": lambda r: r.min_allowed_weights,
    "MaxWeightsLimit": lambda r: r.max_weight_limit,
    "MaxAllowedUids": lambda r: r.max_uids,
    "MaxAllowedValidators": lambda r: r.max_validators,
    "CommitRevealWeightsEnabled": lambda r: False,
}


def storage_map(state: State, item: str) -> list[tuple[Any, Any]]:
    match item:
        case "Weights":
            return [(v, list(row.items())) for v, row in state.weights().items()]
        case "Bonds":
            return [(v, list(row.items())) for v, row in state.matrix("bond").items()]
        case "Uids":
            return [(n["hotkey"], n["uid"]) for n in state.neurons()]
        case "TokenSymbol" | "CommitmentOf" | "RevealedCommitments":
            return []
    raise NotModelled(f"the storage map {item}")


def runtime(state: State, method: str) -> Any:
    match method:
        case "current_alpha_price":
            return round(state.meta("price") * RAO)
        case "current_alpha_price_all":
            prices = {0: 1.0, **state.rivals(), state.rules.netuid: state.meta("price")}
            return [{"netuid": netuid, "price": round(price * RAO)} for netuid, price in prices.items()]
        case "get_next_epoch_start_block":
            return state.meta("last_epoch") + state.rules.tempo
        case "get_metagraph":
            return _metagraph(state)
    raise NotModelled(f"the runtime call {method}")


def _metagraph(state: State) -> dict[str, Any]:
    """The runtime's metagraph record: column by column, in the names the SDK decodes."""
    rules, neurons = state.rules, state.neurons()
    axons = {row["hotkey"]: row for row in state.rows("SELECT * FROM axon")}
    last, pool = state.meta("last_epoch"), 10**6 * RAO
    price = state.meta("price")
    return {
        **{name: [n[column] for n in neurons] for name, column in _COLUMNS.items()},
        "total_stake": [state.total_stake(n) for n in neurons],
        "active": [state.active(n, state.head) for n in neurons],
        "axons": [_axon(axons.get(n["hotkey"])) for n in neurons],
        "rank": [],  # the live chain returns these three empty
        "trust": [],
        "pruning_score": [],
        **{"netuid": rules.netuid, "name": "local", "symbol": "α", "identity": None},
        **{"owner_hotkey": state.meta("owner_hotkey"), "owner_coldkey": state.meta("owner_coldkey")},
        **{"block": state.head, "tempo": rules.tempo, "last_step": last},
        **{"blocks_since_last_step": state.head - last, "network_registered_at": rules.genesis_block},
        **{"num_uids": len(neurons), "max_uids": rules.max_uids, "immunity_period": rules.immunity_period},
        **{"serving_rate_limit": rules.serving_rate_limit, "commit_reveal_weights_enabled": False},
        **{"tao_in": round(pool * price), "alpha_in": pool, "moving_price": {"bits": int(price * 2**32)}},
    }


_COLUMNS = {
    "hotkeys": "hotkey",
    "coldkeys": "coldkey",
    "validator_permit": "permit",
    "emission": "emission",
    "dividends": "dividends",
    "incentives": "incentive",
    "consensus": "consensus",
    "last_update": "last_update",
    "block_at_registration": "registered",
    "alpha_stake": "alpha",
    "tao_stake": "tao",
}
"""Column of the runtime's metagraph -> column of the file's."""


def _axon(row: Any) -> dict[str, int]:
    if row is None:
        return {"block": 0, "version": 0, "ip": 0, "port": 0, "ip_type": 0, "protocol": 0}
    return {k: int(row[k]) for k in ("block", "version", "ip", "port", "ip_type", "protocol")}

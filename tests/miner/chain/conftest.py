from __future__ import annotations

import pytest
from bittensor.keyfiles import Keypair

from miner.chain.client import Chain
from miner.chain.local import LocalChain


class Wall:
    """A wall clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall():
    return Wall()


@pytest.fixture(scope="session")
def keys():
    return {
        name: Keypair.create_from_uri(f"//{name}") for name in ("owner", "a", "b", "m1", "m2", "stranger")
    }


@pytest.fixture
def make_chain(tmp_path, wall, keys):
    """Blocks of 1 s, tempo 10: the owner is UID 0, validators a and b are 1 and 2, miners m1 and m2 3, 4."""

    def make(**rules):
        fast = {"block_s": 1.0, "tempo": 10, "weights_rate_limit": 0, "serving_rate_limit": 5}
        local = LocalChain.create(
            tmp_path / "chain.sqlite",
            owner=(keys["owner"].ss58_address, "5owner-cold"),
            price=0.02,
            clock=wall,
            **{**fast, **rules},
        )
        local.register(keys["a"].ss58_address, alpha=6000, permit=True)
        local.register(keys["b"].ss58_address, alpha=4000, permit=True)
        local.register(keys["m1"].ss58_address)
        local.register(keys["m2"].ss58_address)
        return local

    return make


@pytest.fixture
def make_client(wall):
    def make(local, **options):
        return Chain(72, substrate=local, wall=wall, **options)

    return make

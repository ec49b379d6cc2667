from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest
from loguru import logger
from websockets.asyncio.server import serve

from miner.chain.client import Chain, create_chain
from miner.chain.errors import ChainDown, ChainRefused
from miner.chain.local import LocalChain
from miner.settings import Subtensor


@contextlib.asynccontextmanager
async def frozen_server():
    """A websocket server that takes connections and never answers; yields its address and whom it met."""
    met = []

    async def silent(connection):
        met.append(connection)
        await connection.wait_closed()

    async with serve(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}", met


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"ws://127.0.0.1:{listener.getsockname()[1]}"


async def test_a_frozen_websocket_is_a_dead_chain_and_the_next_endpoint_has_its_turn():
    async with frozen_server() as (first, met_first), frozen_server() as (second, met_second):
        chain = Chain(72, [first, second], timeout_s=0.3)
        with pytest.raises(ChainDown, match="no answer"):
            await chain.snapshot()
        assert (len(met_first), len(met_second)) == (1, 0)
        with pytest.raises(ChainDown, match="no answer"):
            await chain.block()
        assert (len(met_first), len(met_second)) == (1, 1)
        assert chain.endpoint == first


async def test_an_unreachable_endpoint_is_a_dead_chain():
    chain = Chain(72, [closed_port()], timeout_s=5.0)
    with pytest.raises(ChainDown):
        await chain.uid("5any")


async def test_one_failure_turns_to_the_next_endpoint_once_however_many_calls_it_breaks():
    async with frozen_server() as (first, _):
        second = closed_port()
        chain = Chain(72, [first, second, closed_port()], timeout_s=0.2)
        broken = await asyncio.gather(*[chain.block() for _ in range(5)], return_exceptions=True)
        assert [type(error) for error in broken] == [ChainDown] * 5
        assert chain.endpoint == second


class Sluggish(LocalChain):
    """A local chain whose answers can be held back."""

    held = False

    async def block_number(self):
        while self.held:
            await asyncio.sleep(3600)
        return await super().block_number()


async def test_a_chain_that_freezes_in_the_middle_is_left_and_found_again(make_chain, make_client):
    local = make_chain()
    sluggish = Sluggish(local.path)
    client = make_client(sluggish, timeout_s=0.5)
    await client.block()
    sluggish.held = True
    with pytest.raises(ChainDown, match=r"within 0\.5 s"):
        await client.snapshot()
    sluggish.held = False
    assert len((await client.snapshot()).neurons) == 5


async def test_a_chain_switched_off_is_down_for_every_client(make_chain, make_client, keys):
    local = make_chain()
    client = make_client(local)
    assert await client.uid(keys["m1"].ss58_address) is not None
    local.set_down(True)
    with pytest.raises(ChainDown, match="switched off"):
        await client.snapshot()
    with pytest.raises(ChainDown, match="switched off"):
        await client.serve("203.0.113.7", 8091, keys["m1"])
    local.set_down(False)
    assert await client.uid(keys["m1"].ss58_address) is not None


async def test_an_answer_that_says_no_is_not_a_dead_chain(make_chain, keys):
    with pytest.raises(ChainRefused, match="not registered on netuid 71"):
        await Chain(71, substrate=make_chain()).set_weights({0: 1.0}, keys["a"])


class Newer(LocalChain):
    """A chain that lays out its answers as this SDK does not know them."""

    async def runtime_call(self, api, method, params, block_hash=None):
        return {"nothing": "known"}

    async def query_map(self, module, storage_function, params=None, block_hash=None):
        return [("not a uid", None)]


async def test_an_answer_nobody_foresaw_is_a_dead_chain_with_its_traceback_once(make_chain):
    said = []
    sink = logger.add(lambda message: said.append(str(message)), level="ERROR")
    chain = Chain(72, substrate=Newer(make_chain().path))
    for _ in range(3):
        with pytest.raises(ChainDown, match="not understood"):
            await chain.snapshot()
    with pytest.raises(ChainDown, match="not understood"):
        await chain.weights()
    logger.remove(sink)
    assert [line.count("Traceback") for line in said] == [1, 1]


@pytest.mark.parametrize("weights", [{}, {1: 0.0}, {1: float("nan")}, {1: -1.0, 2: 2.0}])
async def test_unusable_weights_never_reach_the_chain(make_chain, make_client, keys, weights):
    with pytest.raises(ValueError, match="weights"):
        await make_client(make_chain()).set_weights(weights, keys["a"])


async def test_the_local_network_is_the_file_in_the_data_folder(tmp_path):
    chain = create_chain(Subtensor(network="local"), 72, tmp_path)
    with pytest.raises(ChainDown, match="there is no local chain"):
        await chain.block()
    LocalChain.create(tmp_path / "local-chain.sqlite")
    assert await chain.block() >= 8_000_000


def test_the_settings_name_the_endpoints_in_order(tmp_path):
    named = Subtensor(chain_endpoint="ws://127.0.0.1:1", fallback_endpoints=["ws://127.0.0.1:2"])
    chain = create_chain(named, 72, tmp_path)
    assert chain.endpoint == "ws://127.0.0.1:1"
    public = create_chain(Subtensor(), 72, tmp_path)
    assert public.endpoint.startswith("wss://")

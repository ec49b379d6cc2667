"""The one place that talks to a chain: an adapter over `bittensor.Client` with a time limit on everything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar, cast

import bittensor as bt
from bittensor.error_map import ErrorCode
from bittensor.metagraph import Metagraph, MetagraphNeuron
from bittensor.result import ChainError, ConnectionNotReady, ExtrinsicResult, RpcConnectionError
from bittensor.settings import default_fallback_endpoints, resolve_endpoint
from loguru import logger
from websockets.exceptions import WebSocketException

from miner.chain.errors import ChainDown, ChainRefused
from miner.chain.local import LocalChain
from miner.chain.snapshot import Neuron, Snapshot
from miner.settings import Subtensor

T = TypeVar("T")
LOCAL_FILE = "local-chain.sqlite"
SUBMIT_FACTOR = 3.0
"""A transaction waits for a block or two: its limit is this many times that of a read."""
CLOSE_S = 2.0
ROOT = 0
"""The network that every chain has and nobody mines on."""
_BROKEN = (RpcConnectionError, ConnectionNotReady, OSError, TimeoutError, WebSocketException)


class Chain:
    """One subnet of one chain.

    Connects by itself at the first call and again after a failure, each time to the next of `endpoints`.
    Every call is given `timeout_s` seconds: a websocket that stays open but never answers counts as down.
    All calls raise `ChainDown`, and `ChainRefused` when the chain answers with an error. Safe for concurrent
    calls on one event loop.
    """

    def __init__(
        self,
        netuid: int,
        endpoints: Sequence[str] = ("finney",),
        *,
        substrate: LocalChain | None = None,
        timeout_s: float = 20.0,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.netuid = netuid
        self._endpoints = tuple(endpoints)
        self._substrate = substrate
        self._timeout_s = timeout_s
        self._wall = wall
        self._turn = 0
        self._client: bt.Client | None = None
        self._connecting = asyncio.Lock()
        self._puzzle = ""

    @property
    def endpoint(self) -> str:
        """Where the next or present connection goes."""
        if self._substrate is not None:
            return str(self._substrate.path)
        return self._endpoints[self._turn % len(self._endpoints)]

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await _close(client)

    async def rotate(self) -> None:
        """Drop the connection; the next call goes to the next endpoint."""
        self._turn += 1
        await self.close()

    # reads

    async def block(self) -> int:
        """The chain's head."""
        return await self._call(lambda client: client.block())

    async def uid(self, hotkey: str) -> int | None:
        """The hotkey's UID on the subnet, or None when it is not registered."""
        return await self._call(lambda client: client.neurons.uid(hotkey_ss58=hotkey, netuid=self.netuid))

    async def timestamp(self) -> float:
        """Seconds since 1970 that the newest block says; up to a block old."""
        return (await self._call(lambda client: client.timestamp())).timestamp()

    async def collateral_policy(self) -> dict[str, Any]:
        """Of the price "lock_share" is locked, and "drain_ratio" alpha is released per alpha earned."""
        return await self._call(lambda client: client.collateral.collateral_policy(netuid=self.netuid))

    async def prices(self) -> dict[int, float]:
        """TAO per alpha, spot, of every subnet; the root network is none."""
        found = await self._call(lambda client: client.prices.alpha_prices())
        return {netuid: price for netuid, price in found.items() if netuid != ROOT}

    async def subnet_limit(self) -> int:
        """How many subnets there may be: past it a new one takes the place of the cheapest."""
        item: Any = bt.storage.SubtensorModule.SubnetLimit
        return int(await self._call(lambda client: client.query(item)))

    async def weights(self) -> dict[int, dict[int, float]]:
        """Validator uid -> miner uid -> share of that validator's weight (rows sum to 1)."""
        return await self._call(lambda client: client.weights.weights(netuid=self.netuid))

    async def bonds(self) -> dict[int, dict[int, float]]:
        """Validator uid -> miner uid -> bond in [0, 1]."""
        return await self._call(lambda client: client.weights.bonds(netuid=self.netuid))

    async def snapshot(self) -> Snapshot:
        """The whole subnet, consistent at one block."""
        return await self._call(self._snapshot)

    async def _snapshot(self, client: bt.Client) -> Snapshot:
        view = await client.at()
        graph = await view.subnets.metagraph(self.netuid, commitments=False)
        if graph is None:
            raise ChainRefused("SubnetNotExists", f"there is no subnet {self.netuid} at {self.endpoint}")
        min_free = await view.query(bt.storage.SubtensorModule.MinNonImmuneUids, [self.netuid])
        return Snapshot(
            netuid=self.netuid,
            block=graph.block,
            tempo=graph.tempo,
            taken_at=self._wall(),
            price=await _price(view, self.netuid),
            owner_hotkey=graph.owner_hotkey,
            owner_coldkey=graph.owner_coldkey,
            immunity_period=await _immunity_period(view, graph),
            max_uids=graph.max_uids,
            neurons=tuple(_neuron(n) for n in graph.neurons),
            last_epoch=graph.last_step or graph.block - graph.blocks_since_last_step,
            min_non_immune_uids=int(min_free or 0),
            block_s=await client.block_time(),
        )

    # writes, signed by a hotkey

    async def serve(self, ip: str, port: int, keypair: Any) -> None:
        """Publish the hotkey's address. Always submits: compare with the snapshot's axon first."""
        await self._submit(bt.ServeAxon(netuid=self.netuid, ip=ip, port=port), keypair)

    async def set_weights(self, weights: Mapping[int, float], keypair: Any) -> None:
        """Set a validator's weights, in any positive scale. Raises ValueError for unusable ones."""
        if not all(isfinite(w) and w >= 0 for w in weights.values()) or not any(weights.values()):
            raise ValueError("weights must be finite, not negative, and not all zero")
        uids = sorted(weights)
        values = [float(weights[uid]) for uid in uids]
        await self._submit(bt.SetWeights(netuid=self.netuid, uids=uids, weights=values), keypair)

    async def _submit(self, intent: Any, keypair: Any) -> None:
        async def execute(client: bt.Client) -> ExtrinsicResult:
            return await client.execute(intent, keypair, wait_for_finalization=False)

        result = await self._call(execute, SUBMIT_FACTOR * self._timeout_s)
        if not result.success:
            raise _refused(result.error or ChainError(result.message))

    # the connection

    async def _call(self, work: Callable[[bt.Client], Awaitable[T]], timeout_s: float | None = None) -> T:
        """Run `work` on a connected client within the time limit; a sign of a broken connection drops it."""
        limit, turn = timeout_s or self._timeout_s, self._turn
        try:
            async with asyncio.timeout(limit):
                return await work(await self._connected())
        except ChainError as error:
            raise _refused(error) from error
        except TimeoutError as error:
            await self._drop(turn)
            raise ChainDown(f"no answer within {limit:g} s") from error
        except _BROKEN as error:
            await self._drop(turn)
            raise ChainDown(str(error) or type(error).__name__) from error
        except Exception as error:  # whatever the SDK makes of an answer that it was not written for
            await self._drop(turn)
            self._puzzled(error)
            raise ChainDown(f"an answer that is not understood: {error!r}") from error

    def _puzzled(self, error: Exception) -> None:
        """Its traceback once: the same answer may come with every snapshot."""
        if repr(error) != self._puzzle:
            self._puzzle = repr(error)
            logger.opt(exception=error).error("chain: an answer that is not understood")

    async def _connected(self) -> bt.Client:
        async with self._connecting:
            if self._client is None:
                self._client = await self._fresh()
            return self._client

    async def _fresh(self) -> bt.Client:
        if self._substrate is not None:
            await self._substrate.connect()  # not client.connect(): that would cache names in the user's home
            return bt.Client("local", substrate=cast("Any", self._substrate))
        # pinned to one endpoint: the rotation is ours, since the SDK's own does not notice a frozen one
        client = bt.Client(self.endpoint, fallback_endpoints=[], archive_endpoints=[])
        try:
            return await client.connect()
        except BaseException:
            await _close(client)
            raise

    async def _drop(self, turn: int) -> None:
        """Give up an endpoint, once: of concurrent calls that fail on it only the first moves on."""
        if turn == self._turn:
            await self.rotate()


async def _close(client: bt.Client) -> None:
    try:
        async with asyncio.timeout(CLOSE_S):
            await client.close()
    except _BROKEN as error:
        logger.debug("closing a broken chain connection: {!r}", error)


def _refused(error: ChainError) -> ChainRefused:
    name = error.name or error.code.value
    return ChainRefused(name, str(error), rate_limited=error.code is ErrorCode.RATE_LIMITED)


async def _price(view: Any, netuid: int) -> float:
    return float((await view.prices.alpha_price(netuid=netuid))["tao_per_alpha"])


async def _immunity_period(view: Any, graph: Metagraph) -> int:
    known = graph.raw.get("immunity_period")
    if known is None:
        known = await view.hyperparameters.immunity_period(netuid=graph.netuid)
    return int(known)


def _neuron(n: MetagraphNeuron) -> Neuron:
    return Neuron(
        uid=n.uid,
        hotkey=n.hotkey,
        coldkey=n.coldkey,
        stake=n.total_stake.amount,
        validator_permit=n.validator_permit,
        axon=n.axon,
        incentive=n.incentive,
        emission=n.emission.amount,
        dividends=n.dividends,
        last_update=n.last_update,
        block_at_registration=n.block_at_registration,
        active=n.active,
    )


def create_chain(subtensor: Subtensor, netuid: int, data_path: Path) -> Chain:
    """The chain that the settings name. Raises ValueError for an unknown network.

    `network` "local" is the local chain's file, by default in the data folder. Otherwise `chain_endpoint`
    (else the network's own) comes first, and the fallback endpoints (else the network's public ones) follow.
    """
    if subtensor.network == "local" and subtensor.chain_endpoint is None:
        local = LocalChain(subtensor.local_file or data_path.expanduser() / LOCAL_FILE)
        return Chain(netuid, substrate=local, timeout_s=subtensor.timeout_s)
    _, first = resolve_endpoint(subtensor.chain_endpoint or subtensor.network)
    fallbacks = subtensor.fallback_endpoints or default_fallback_endpoints(first)
    return Chain(netuid, list(dict.fromkeys([first, *fallbacks])), timeout_s=subtensor.timeout_s)

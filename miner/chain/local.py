"""A stateful local chain behind the SDK's own `substrate=` seam.

`bt.Client("local", substrate=LocalChain(path))` reads metagraph, uid, weights, bonds, price, immunity and
epoch status from one SQLite file and executes ServeAxon and SetWeights with the real chain's checks;
everything above the websocket is the real SDK. What it leaves out: commit-reveal (weights count from the next
epoch), root dividends, take and child keys, fees and balances, liquid alpha. Reads answer at the head,
whatever block they are pinned to.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from bittensor.balance import Balance
from bittensor.keyfiles import Keypair
from bittensor.result import ChainError, ExtrinsicResult

from miner.chain.local_reads import runtime, storage, storage_map
from miner.chain.local_rules import Rules
from miner.chain.local_state import RAO, NotModelled, Rejected, State
from miner.chain.local_store import Store

T = TypeVar("T")
Params = list[Any]
FEE_RAO = 0
SPEC_VERSION = 450


class LocalChain:
    """The local chain in the file at `path`, made by `create`. Any number of processes may open it at once.

    `clock` returns seconds since 1970; tests inject one.
    """

    def __init__(self, path: Path | str, *, clock: Callable[[], float] = time.time) -> None:
        self._store = Store(Path(path), clock)
        self.token_symbols: dict[int, str] = {}

    @classmethod
    def create(
        cls,
        path: Path | str,
        *,
        owner: tuple[str, str] | None = None,
        price: float = 0.0031,
        clock: Callable[[], float] = time.time,
        **rules: Any,
    ) -> LocalChain:
        """Make the file and its subnet.

        `owner` is its (hotkey, coldkey), UID 0; `price` TAO per alpha; `rules` any field of `Rules`
        (`block_s`, `tempo`, ...). Raises FileExistsError, or TypeError and ValueError for unusable rules.
        """
        chain = cls(path, clock=clock)
        chain._store.create(Rules(**rules), owner or (_address("owner"), _address("owner/cold")), price)
        return chain

    # scenario

    @property
    def path(self) -> Path:
        return self._store.path

    def register(
        self,
        hotkey: str,
        coldkey: str | None = None,
        *,
        alpha: float = 0.0,
        tao: float = 0.0,
        permit: bool = False,
        age: int = 0,
    ) -> int:
        """Register a hotkey and return its UID. Raises `Rejected`.

        `alpha` and `tao` are its stakes; `permit` grants a validator permit now (from the next epoch on stake
        decides); `age` says how many blocks ago it registered.
        """
        with self._store.open() as state:
            uid = state.register(hotkey, coldkey or _address(f"cold/{hotkey}"), age)
            state.add_stake(hotkey, round(alpha * RAO), round(tao * RAO))
            state.db.execute("UPDATE neuron SET permit = ? WHERE uid = ?", (permit, uid))
            return uid

    def deregister(self, hotkey: str) -> None:
        """Let a stranger take the hotkey's UID, as pruning does. Its stake stays its own."""
        with self._store.open() as state:
            uid = state.uid(hotkey)
            if uid is None:
                raise Rejected("HotKeyNotRegisteredInSubNet")
            stranger = f"stranger/{uid}/{hotkey}/{state.head}"
            state.replace(uid, _address(stranger), _address(f"{stranger}/cold"), state.head)

    def add_stake(self, hotkey: str, alpha: float = 0.0, tao: float = 0.0) -> None:
        """Add to (or with negative amounts take from) a hotkey's stakes."""
        with self._store.open() as state:
            state.add_stake(hotkey, round(alpha * RAO), round(tao * RAO))

    def set_burning(self, share: float) -> None:
        """From the next epoch on, let every validator give this share (0 to 1) of its weight to the owner."""
        if not 0 <= share <= 1:
            raise ValueError("the burnt share lies between 0 and 1")
        self._set_meta("burning", float(share))

    def set_price(self, tao_per_alpha: float) -> None:
        self._set_meta("price", float(tao_per_alpha))

    def set_rivals(self, prices: Mapping[int, float]) -> None:
        """Other subnets of the chain: netuid -> TAO per alpha. Nothing but their price is modelled."""
        with self._store.open() as state:
            state.set_rivals(prices)

    def set_down(self, down: bool) -> None:
        """Switch the chain off or on for every client of the file."""
        self._set_meta("down", int(down))

    def _set_meta(self, key: str, value: Any) -> None:
        with self._store.open() as state:
            state.set_meta(key, value)

    # the Substrate protocol: life cycle

    def balance(self, rao: int, netuid: int = 0) -> Balance:
        return Balance(int(rao), netuid, self.token_symbols.get(netuid) if netuid else None)

    async def connect(self) -> None:
        await self._run(lambda state: None)

    async def close(self) -> None:
        """Nothing is held open between calls."""

    async def _run(self, work: Callable[[State], T], *, write: bool = False) -> T:
        """One transaction in a thread: waiting for another process's lock must not hold up the event loop."""

        def transaction() -> T:
            with self._store.open(write=write) as state:
                if state.meta("down"):
                    raise ConnectionError("the local chain is switched off")
                return work(state)

        try:
            return await asyncio.to_thread(transaction)
        except NotModelled as error:
            raise ChainError(f"the local chain does not model {error}") from error

    # reads

    async def block_number(self) -> int:
        return await self._run(lambda state: state.head)

    async def finalized_block_number(self) -> int:
        return await self.block_number()

    async def block_hash(self, block: int | None = None) -> str:
        return f"0x{await self.block_number() if block is None else block:064x}"

    async def block_time(self) -> float:
        return await self._run(lambda state: state.rules.block_s)

    async def spec_version(self) -> int:
        return SPEC_VERSION

    async def query(
        self, module: str, storage_function: str, params: Params | None = None, block_hash: str | None = None
    ) -> Any:
        return await self._run(lambda state: storage(state, storage_function, params or []))

    async def query_batch(
        self, module: str, storage_function: str, param_sets: list[Params], block_hash: str | None = None
    ) -> list[Any]:
        return await self._run(lambda state: [storage(state, storage_function, p) for p in param_sets])

    async def query_map(
        self, module: str, storage_function: str, params: Params | None = None, block_hash: str | None = None
    ) -> list[tuple[Any, Any]]:
        return await self._run(lambda state: storage_map(state, storage_function))

    async def map_has_entries(
        self, module: str, storage_function: str, params: Params, block_hash: str | None = None
    ) -> bool:
        return bool(await self.query_map(module, storage_function, params, block_hash))

    async def runtime_call(self, api: str, method: str, params: Any, block_hash: str | None = None) -> Any:
        return await self._run(lambda state: runtime(state, method))

    async def constant(self, module: str, name: str) -> Any:
        if name == "SlotDuration":
            return int(await self.block_time() * 1000)
        raise NotModelled(f"constant {name}")

    async def blocks(self, *, finalized: bool = False) -> AsyncIterator[dict[str, Any]]:
        seen = None
        while True:
            head, block_s = await self._run(lambda state: (state.head, state.rules.block_s))
            if head != seen:
                seen = head
                yield {"header": {"number": head, "parentHash": f"0x{head - 1:064x}"}}
            await asyncio.sleep(block_s / 2)

    async def events(self, block_hash: str | None = None) -> list[dict[str, Any]]:
        return []

    # calls and writes

    async def compose(self, call: Any) -> Any:
        return call

    async def estimate_fee(self, call: Any, keypair: Any) -> Balance:
        return Balance.from_rao(FEE_RAO)

    async def account_next_index(self, address: str) -> int:
        sql = "SELECT COALESCE(MAX(next), 0) FROM nonce WHERE address = ?"
        return await self._run(lambda state: int(state.db.execute(sql, (address,)).fetchone()[0]))

    async def submit(self, call: Any, keypair: Any, **options: Any) -> ExtrinsicResult:
        """Apply a call as the keypair. The outcome, good or bad, is in the result; a dead chain raises."""
        keypair.sign(b"a key that cannot sign cannot submit")
        _module, function, arguments = tuple(call)[:3]
        address = keypair.ss58_address
        try:
            head = await self._run(lambda state: _dispatch(state, function, address, arguments), write=True)
        except Rejected as error:
            name = str(error)
            return ExtrinsicResult(success=False, message=name, error=ChainError(name, name))
        fee = Balance.from_rao(FEE_RAO)
        return ExtrinsicResult(success=True, message="Success", block_hash=f"0x{head:064x}", fee=fee)


def _address(name: str) -> str:
    """A valid address made from a name; its key is public knowledge."""
    return str(Keypair.create_from_seed(hashlib.sha256(f"local chain {name}".encode()).digest()).ss58_address)


def _dispatch(state: State, function: str, hotkey: str, arguments: Mapping[str, Any]) -> int:
    if arguments.get("netuid") != state.rules.netuid:
        raise Rejected("SubnetNotExists")
    match function:
        case "serve_axon":
            state.serve_axon(hotkey, arguments)
        case "set_weights" | "set_mechanism_weights":
            state.set_weights(hotkey, arguments["dests"], arguments["weights"])
        case _:
            raise NotModelled(f"the call {function}")
    state.db.execute("INSERT INTO nonce VALUES (?, 1) ON CONFLICT DO UPDATE SET next = next + 1", (hotkey,))
    return state.head

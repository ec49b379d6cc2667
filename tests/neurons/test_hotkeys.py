"""Two hotkeys in one miner, over real HTTP: each answers on its port, for itself, from one engine."""

from __future__ import annotations

import time

import bittensor
import pytest
from neurons_kit import VALIDATOR, Miner, Stage, jpeg, soon

from miner.chain.client import Chain
from miner.ledger import payouts
from miner.rehearsal.dendrite import Dendrite
from miner.rehearsal.scenery import free_port
from miner.rehearsal.wallets import HOTKEY

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def second(stage: Stage) -> str:
    """One more hotkey in the stage's wallet, registered: its address."""
    folder = stage.wallet.path
    wallet = bittensor.Wallet(name=stage.wallet.name, hotkey="second", path=str(folder))
    wallet.create_new_hotkey(use_password=False, overwrite=True, suppress=True)
    address = str(wallet.hotkey.ss58_address)
    stage.chain.register(address, stage.wallet.coldkey)
    return address


@pytest.fixture
def both(stage: Stage, second: str) -> Miner:
    return stage.start(wallet__hotkeys=f"{HOTKEY},second", axon__port=free_pair()).await_ready()


def free_pair() -> int:
    """A port that is free, and whose next one is."""
    import socket

    while True:
        port = free_port()
        try:
            socket.create_server(("127.0.0.1", port + 1)).close()
        except OSError:
            continue
        return port


def dendrite(port: int, hotkey: str) -> Dendrite:
    return Dendrite(VALIDATOR, "127.0.0.1", port, hotkey)


async def test_each_hotkey_answers_for_itself_and_every_row_says_whose_it_is(
    stage: Stage, second: str, both: Miner
):
    first, port = stage.wallet.hotkey, both.port
    images = {first: jpeg(1), second: jpeg(2)}
    for number, hotkey in enumerate(images):
        async with dendrite(port + number, hotkey) as asking:
            reply = await asking.challenge(images[hotkey])
            assert reply.status == 200 and 0.0 <= reply.prediction <= 1.0
    rows = await soon(lambda: len(both.rows()) >= 2 and both.rows(), "both rows")
    assert sorted(row["hotkey"] for row in rows) == sorted(images)
    assert {line["hotkey"] for line in both.json_lines()} == set(images)

    async with dendrite(port + 1, first) as asking:
        assert (await asking.challenge(jpeg(3))).status == 401, "signed for the other hotkey"

    shown = {row["hotkey"]: row for row in both.command("status")["hotkeys"]}
    assert {hotkey: row["answered"] for hotkey, row in shown.items()} == dict.fromkeys(images, 1)

    told = {row["hotkey"]: row for row in await soon(lambda: published(both), "both addresses on the chain")}
    chain = await Chain(72, substrate=stage.chain).snapshot()
    for number, hotkey in enumerate(images):
        assert told[hotkey]["uid"] == chain.uid_of(hotkey)
        assert chain.by_hotkey[hotkey].axon == f"127.0.0.1:{port + number}"

    assert {row["hotkey"] for row in await soon(lambda: paid(both), "a payout of each")} == set(images)


def published(miner: Miner):
    rows = miner.command("hotkeys")
    return rows if all(row["address"] == "published" for row in rows) else None


def paid(miner: Miner):
    rows = payouts(miner.data / "ledger.sqlite", 50)
    return rows if len({row["hotkey"] for row in rows}) == 2 else None


async def test_a_flood_of_one_hotkey_costs_the_other_no_answer(stage: Stage, second: str, both: Miner):
    import asyncio

    first, port, until = stage.wallet.hotkey, both.port, time.monotonic() + 4.0

    async def flood(number: int) -> None:
        async with dendrite(port, first) as asking:
            while time.monotonic() < until:
                await asking.challenge(jpeg(number))
                number += 100

    async def calm() -> list[int]:
        got = []
        async with dendrite(port + 1, second) as asking:
            while time.monotonic() < until:
                got.append((await asking.challenge(jpeg(10_000 + len(got)))).status)
                await asyncio.sleep(0.2)
        return got

    got, *_ = await asyncio.gather(calm(), *(flood(number) for number in range(12)))
    assert set(got) == {200} and len(got) >= 3

"""Two hotkeys at places of their own, over real HTTP: one engine, one recorder, each row with its hotkey."""

from __future__ import annotations

import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

from harness.stage import MINER, OTHER_MINER, VALIDATOR, jpeg, keypair, ss58, subnet

from miner.chain.snapshot import Snapshot
from miner.engine.interface import EngineHealth
from miner.place import Place, Shared
from miner.records import Exchange
from miner.rehearsal.dendrite import Dendrite
from miner.settings import Axon, Settings, SettingsError, Wallet, load
from models.core import Request, Verdict

HOTKEYS = (MINER, OTHER_MINER)


class Engine:
    def __init__(self) -> None:
        self.asked: list[Request] = []

    def health(self) -> EngineHealth:
        return EngineHealth(ready=True, state="ready")

    async def submit(self, request: Request) -> Verdict:
        self.asked.append(request)
        return Verdict(request.id, 0.75, log_odds=1.1, path=("tiny",))


class NoChain:
    async def serve(self, ip: str, port: int, keypair: Any) -> None: ...


def snapshot() -> Snapshot:
    rows = ((VALIDATOR, 5000.0, True), *((uri, 0.0, False) for uri in HOTKEYS))
    return subnet(rows)


def pair() -> int:
    """A free port with a free one behind it."""
    for _ in range(50):
        with socket.create_server(("127.0.0.1", 0)) as first:
            port = first.getsockname()[1]
            try:
                socket.create_server(("127.0.0.1", port + 1)).close()
            except OSError:
                continue
            return port
    raise AssertionError("no two free ports in a row")


@pytest.fixture
async def both():
    """The two places, their engine, and what was recorded."""
    settings = Settings(wire={"max_ahead_s": 0.1}, axon={"ip": "127.0.0.1", "port": pair()})
    engine, rows = Engine(), list[Exchange]()
    shared = Shared(settings, NoChain(), engine, rows.append, lambda *_: None, lambda *_: None)  # type: ignore[arg-type]
    places = [Place(keypair(uri), settings.axon.of(n), shared) for n, uri in enumerate(HOTKEYS)]
    for place in places:
        place.admission.update(snapshot())
        await place.server.start()
    yield places, engine, rows
    for place in places:
        await place.server.stop(1.0)


async def ask(port: int, receiver: str):
    async with Dendrite(keypair(VALIDATOR), "127.0.0.1", port, ss58(receiver)) as asking:
        reply = await asking.challenge(jpeg(32))
        while reply.status == 401 and "predate" in reply.reason:  # nothing signed before the start is taken
            reply = await asking.challenge(jpeg(32))
        return reply


async def test_each_answers_for_itself_from_one_engine(both):
    places, engine, rows = both
    assert places[1].server.port == places[0].server.port + 1
    for place, uri in zip(places, HOTKEYS, strict=True):
        reply = await ask(place.server.port, uri)
        assert (reply.status, reply.prediction) == (200, 0.75)
    assert [request.hotkey for request in engine.asked] == [ss58(uri) for uri in HOTKEYS]
    assert [row.hotkey for row in rows] == [ss58(uri) for uri in HOTKEYS]


async def test_what_is_signed_for_one_is_not_taken_by_the_other(both):
    places, engine, _ = both
    await ask(places[1].server.port, OTHER_MINER)
    assert (await ask(places[1].server.port, MINER)).status == 401 and len(engine.asked) == 1


async def test_whose_place_where_and_what_it_earned_is_told(both):
    (_, place), _, _ = both
    row = place.row(snapshot())
    assert row["hotkey"] == ss58(OTHER_MINER) and row["uid"] == 2 and row["port"] == place.server.port
    paid: list[Any] = []
    for epoch, times in ((5, 1), (5, 1), (6, 2)):
        place.pay(replace(snapshot(), last_epoch=epoch), paid.append)
        assert [each.hotkey for each in paid] == [ss58(OTHER_MINER)] * times, "an epoch is paid once"


# The settings


def test_ports_count_on_inside_and_outside():
    axon = Axon(port=8091, external_port=9000)
    assert [(axon.of(n).port, axon.of(n).external_port) for n in (0, 2)] == [(8091, 9000), (8093, 9002)]
    assert Axon().of(1).external_port is None
    assert Wallet(hotkey="a").names == ["a"] and Wallet(hotkeys=["b", "c"]).names == ["b", "c"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--wallet.hotkeys=a,a"], "named once"),
        (["--wallet.hotkeys=a,b"], "8092"),
        (["--wallet.hotkeys=a,b", "--axon.port=65535"], "above 65535"),
        (["--wallet.hotkeys=a,b", "--axon.port=8000", "--axon.external_port=65535"], "above 65535"),
    ],
)
def test_ports_that_cannot_be_are_refused(flags, words):
    with pytest.raises(SettingsError, match=words):
        load(flags, {})

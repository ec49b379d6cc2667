"""Bodies of whoever has proved nothing: bounded together, and nobody is kept out by another."""

from __future__ import annotations

import asyncio

import pytest
from wire_kit import Door, body, modern

from miner.settings import Wire
from miner.wire.endpoint import UNPROVEN_BODIES
from miner.wire.lobby import Lobby
from miner.wire.synapse import Rejected


class Guests:
    """Bodies that stay until they are let go; `gone` has who was sent away."""

    def __init__(self, most: int) -> None:
        self.lobby, self.gone, self.done = Lobby(most), [], []
        self.tasks: dict[str, asyncio.Task] = {}

    async def comes(self, name: str, network: str, size: int) -> None:
        async def stay() -> None:
            try:
                async with self.lobby.room(network, size):
                    await asyncio.Event().wait()
            except Rejected as rejected:
                assert rejected.reason == "callers"
                self.gone.append(name)

        self.tasks[name] = asyncio.create_task(stay())
        await asyncio.sleep(0.001)

    async def leaves(self, name: str) -> None:
        self.tasks[name].cancel()
        await asyncio.wait([self.tasks[name]])


async def test_a_newcomer_takes_the_place_of_who_was_there_longest():
    guests = Guests(25)
    for name in "abcd":
        await guests.comes(name, f"network {name}", 10)
    assert guests.gone == ["a", "b"]
    assert len(guests.lobby) == 20


async def test_whoever_takes_much_makes_room_and_not_whoever_takes_little():
    guests = Guests(30)
    await guests.comes("honest", "far", 5)
    for number in range(4):
        await guests.comes(f"attack {number}", "near", 12)
    assert guests.gone == ["attack 0", "attack 1"]
    await guests.comes("another honest one", "elsewhere", 5)
    assert guests.gone == ["attack 0", "attack 1", "attack 2"]


async def test_what_left_takes_no_room_and_is_never_sent_away():
    guests = Guests(25)
    await guests.comes("a", "one", 20)
    await guests.leaves("a")
    assert len(guests.lobby) == 0
    await guests.comes("b", "two", 20)
    assert guests.gone == []


async def test_an_error_within_is_its_own():
    with pytest.raises(Rejected, match="body_time"):
        async with Lobby(1).room("here", 1):
            raise Rejected("body_time")


async def test_bodies_before_any_proof_are_bounded_and_an_honest_one_is_answered_meanwhile():
    door = Door(wire=Wire(body_bytes=4000, image_bytes=2000, body_timeout_s=60.0))
    statuses: list[int] = []

    async def stall(number: int) -> None:
        signed = modern(door, b"", **{"content-length": "4000"})
        statuses.append((await door.ask(signed, [], address=f"192.0.2.{number}")).status)

    attackers = 3 * UNPROVEN_BODIES
    tasks = [asyncio.create_task(stall(number)) for number in range(attackers)]
    await asyncio.sleep(0.01)
    assert statuses == [429] * (attackers - UNPROVEN_BODIES)
    content = body()
    signed = modern(door, content, **{"content-length": str(len(content))})
    assert (await door.ask(signed, content)).status == 200
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(door.endpoint._lobby) == 0
    assert {reason for _, reason in door.refusals} == {"callers", "stopping"}

from __future__ import annotations

import asyncio

import pytest
from chain_samples import neuron, snapshot
from loguru import logger

from miner.chain.announce import Announcer, answers, objection, shown_as
from miner.chain.errors import ChainDown, ChainRefused
from miner.chain.watch import ChainWatch
from miner.settings import Axon, Subtensor


class Us:
    ss58_address = "hot1"


class Ledgerless:
    """A chain that notes what it is asked to publish and answers with the next outcome."""

    def __init__(self, *outcomes) -> None:
        self.served, self._outcomes = [], list(outcomes)

    async def serve(self, ip, port, keypair) -> None:
        self.served.append((ip, port))
        if self._outcomes and (outcome := self._outcomes.pop(0)):
            raise outcome


def at(block, axon=None, registered=True):
    mine = [neuron(1, axon=axon)] if registered else []
    return snapshot(neuron(0), *mine, block=block, max_uids=256)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def announcer(*outcomes, reachable=True, **axon):
    chain, clock, probed = Ledgerless(*outcomes), Clock(), []

    async def probe(ip, port):
        probed.append((ip, port))
        return reachable if isinstance(reachable, bool) else reachable.pop(0)

    settings = Axon(**{"external_ip": "203.0.113.7", "port": 8091, **axon})
    return Announcer(chain, Us(), settings, probe=probe, clock=clock), chain, clock, probed


async def test_the_address_is_published_when_it_differs_and_left_alone_once_it_shows():
    it, chain, _, probed = announcer()
    assert await it.step(at(1, "198.51.100.1:9000")) == "pending"
    assert await it.step(at(3, "198.51.100.1:9000")) == "pending"
    assert await it.step(at(6, "203.0.113.7:8091")) == "published"
    assert chain.served == [("203.0.113.7", 8091)]
    assert probed == [("203.0.113.7", 8091)]


async def test_an_address_that_never_shows_is_published_again():
    it, chain, *_ = announcer()
    for block in (1, 5, 12):
        await it.step(at(block))
    assert len(chain.served) == 2


async def test_the_external_port_wins_over_the_listening_one():
    it, chain, *_ = announcer(external_port=443)
    await it.step(at(1))
    assert chain.served == [("203.0.113.7", 443)]


async def test_a_changed_address_is_published_anew():
    it, chain, *_ = announcer()
    await it.step(at(1, "203.0.113.7:8091"))
    assert await it.step(at(2, "198.51.100.1:9000")) == "pending"
    assert chain.served == [("203.0.113.7", 8091)]


async def test_a_port_that_does_not_answer_is_not_published_until_it_does():
    it, chain, clock, probed = announcer(reachable=[False, True])
    assert await it.step(at(1)) == "unreachable"
    assert "open the port" in it.sentence
    assert await it.step(at(2)) == "unreachable"
    assert len(probed) == 1
    clock.now += 61
    assert await it.step(at(3)) == "pending"
    assert chain.served == [("203.0.113.7", 8091)]


async def test_force_publishes_without_asking():
    it, chain, _, probed = announcer(reachable=False, announce="force")
    assert await it.step(at(1)) == "pending"
    assert (len(chain.served), probed) == (1, [])


@pytest.mark.parametrize("axon", [{"announce": "never"}, {"external_ip": None}])
async def test_nothing_is_published_unless_asked_for_and_an_operator_hears_that_nobody_will_come(axon):
    said = []
    sink = logger.add(lambda message: said.append(message.record["level"].name), format="{message}")
    it, chain, *_ = announcer(**axon)
    assert await it.step(at(1, registered=False)) == "off"
    assert await it.step(at(2)) == "hidden"
    assert "no validator can find us" in it.sentence and next(iter(axon)) in it.sentence
    assert await it.step(at(3, "198.51.100.1:9000")) == "off"
    assert "198.51.100.1:9000" in it.sentence
    logger.remove(sink)
    assert said == ["INFO", "WARNING", "INFO"]
    assert chain.served == []


async def test_a_rate_limited_chain_is_asked_again_later():
    it, chain, clock, _ = announcer(ChainRefused("ServingRateLimitExceeded", rate_limited=True))
    assert await it.step(at(1)) == "rate limited"
    clock.now += 60
    assert await it.step(at(6)) == "rate limited"
    assert len(chain.served) == 1
    clock.now += 61
    assert await it.step(at(11)) == "pending"


async def test_a_refusal_is_told_with_the_chains_reason():
    it, chain, clock, _ = announcer(ChainRefused("InvalidIpAddress"))
    assert await it.step(at(1)) == "refused"
    assert "InvalidIpAddress" in it.sentence
    clock.now += 300
    await it.step(at(26))
    assert len(chain.served) == 1


async def test_a_dead_chain_is_tried_at_the_next_snapshot():
    it, *_ = announcer(ChainDown("no answer"))
    assert await it.step(at(1)) == "chain down"
    assert await it.step(at(2)) == "pending"


async def test_an_unregistered_hotkey_has_nothing_to_publish():
    it, chain, *_ = announcer()
    assert await it.step(at(1, registered=False)) == "not registered"
    assert chain.served == []


@pytest.mark.parametrize(
    ("ip", "words"),
    [
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "one machine"),
        ("255.255.255.255", "one machine"),
        ("224.0.0.1", "one machine"),
        ("192.168.1.5", "private network"),
        ("100.64.0.1", "private network"),
        ("fd00::7", "private network"),
    ],
)
async def test_addresses_nobody_could_reach_are_refused_in_a_sentence(ip, words):
    it, chain, *_ = announcer(external_ip=ip)
    assert await it.step(at(1)) == "refused"
    assert words in it.sentence
    assert chain.served == []


def test_an_address_may_be_near_where_the_validators_are():
    assert objection("203.0.113.7") is None
    assert objection("127.0.0.1", local=True) is None
    assert objection("10.0.0.7", force=True) is None
    assert objection("127.0.0.1", force=True) is not None


def test_addresses_as_the_chain_shows_them():
    assert shown_as("203.0.113.7", 1) == "203.0.113.7:1"
    assert shown_as("2001:0db8::0007", 1) == "[2001:db8::7]:1"


async def test_the_probe_tells_an_open_port_from_a_closed_one():
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await answers("127.0.0.1", port)
    server.close()
    await server.wait_closed()
    assert not await answers("127.0.0.1", port)


async def test_the_loop_outlives_an_answer_nobody_foresaw():
    it, chain, *_ = announcer(KeyError("odd"))

    class Source:
        block = 0

        async def snapshot(self):
            self.block += 1
            return at(self.block)

    watch = ChainWatch(Source(), "hot1", Subtensor())
    loop = asyncio.create_task(it.run(watch))
    for _ in range(3):
        await asyncio.sleep(0.01)
        await watch.refresh()
    await asyncio.sleep(0.01)
    assert it.outcome == "pending"
    assert len(chain.served) == 2
    loop.cancel()


async def test_a_real_chain_end_to_end(make_chain, make_client, keys, wall):
    client = make_client(make_chain())
    it = Announcer(client, keys["m1"], Axon(external_ip="203.0.113.7", announce="force"), clock=wall)
    assert await it.step(await client.snapshot()) == "pending"
    assert await it.step(await client.snapshot()) == "published"
    moved = Announcer(client, keys["m1"], Axon(external_ip="203.0.113.8", announce="force"), clock=wall)
    assert await moved.step(await client.snapshot()) == "rate limited"
    wall.now += 10
    assert await moved.step(await client.snapshot()) == "pending"

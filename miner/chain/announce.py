"""Publishes the miner's address on chain: when it differs, when the port answers, and not too often."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from loguru import logger

from miner.chain.errors import ChainDown, ChainRefused
from miner.chain.snapshot import Neuron, Snapshot
from miner.chain.watch import ChainWatch
from miner.settings import Axon

PROBE_S = 5.0
SETTLE_BLOCKS = 10
"""A served address may take this long to show in a snapshot; until then it is not served again."""
PRIVATE = [
    ipaddress.ip_network(network)
    for network in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10")
]
UNREACHABLE_RETRY_S, REFUSED_RETRY_S = 60.0, 600.0

Probe = Callable[[str, int], Awaitable[bool]]


class Server(Protocol):
    """What publishes: `Chain`."""

    async def serve(self, ip: str, port: int, keypair: Any) -> None: ...


async def answers(ip: str, port: int) -> bool:
    """Whether a TCP connection to the address opens within five seconds.

    Asked from this host: it proves that the address leads here, not that every firewall lets strangers in.
    """
    try:
        async with asyncio.timeout(PROBE_S):
            _, writer = await asyncio.open_connection(ip, port)
    except OSError:  # includes TimeoutError
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def objection(ip: str, *, local: bool = False, force: bool = False) -> str | None:
    """Why the address cannot be published, as a sentence; None when it can. `local`: validators sit on this
    machine; `force`: or on a network of the operator's own."""
    address = ipaddress.ip_address(ip)
    if address.is_loopback and not local:
        return f"axon.external_ip {ip} is this machine's loopback: no validator could reach it"
    if not (local or force) and any(address in network for network in PRIVATE):
        return (
            f"axon.external_ip {ip} belongs to a private network: no validator on the internet could reach "
            "it; give the public address, or set axon.announce to force"
        )
    if address.is_unspecified or address.is_multicast or int(address) == 2**address.max_prefixlen - 1:
        return f"axon.external_ip {ip} is not the address of one machine"
    return None


def shown_as(ip: str, port: int) -> str:
    """The address as a snapshot shows it: `ip:port`, `[ip]:port` for IPv6."""
    address = ipaddress.ip_address(ip)
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


class Announcer:
    """Keeps the chain's record of our address true, one look per snapshot.

    `outcome` is "starting", "off" (left as it is), "hidden" (the same, and the chain shows none),
    "published", "pending", "unreachable", "rate limited", "refused", "not registered" or "chain down";
    `sentence` says more. `port` is the listening one, published unless the settings name another. `local` see
    `objection`.
    """

    def __init__(
        self,
        chain: Server,
        keypair: Any,
        axon: Axon,
        *,
        port: int | None = None,
        probe: Probe = answers,
        local: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.outcome, self.sentence = "starting", ""
        self._chain, self._keypair, self._probe, self._clock = chain, keypair, probe, clock
        self._ip, self._port = axon.external_ip, axon.external_port or port or axon.port
        self._mode, self._local = axon.announce, local
        self._retry_at = 0.0
        self._served_at: int | None = None

    async def run(self, watch: ChainWatch) -> None:
        """Look at every new snapshot, for ever."""
        snapshot = await watch.first()
        while True:
            try:
                await self.step(snapshot)
            except Exception:  # noqa: BLE001 an unforeseen answer must not end the announcements
                logger.exception("announcing the address failed")
            snapshot = await watch.following()

    async def step(self, snapshot: Snapshot) -> str:
        """Do what this snapshot calls for, and return the outcome."""
        neuron = snapshot.by_hotkey.get(self._keypair.ss58_address)
        if self._ip is None or self._mode == "never":
            return self._leave(
                "axon.external_ip is not set" if self._ip is None else "axon.announce is never", neuron
            )
        if said := objection(self._ip, local=self._local, force=self._mode == "force"):
            return self._become("refused", said)
        if neuron is None:
            return self._become("not registered", "the hotkey is not registered: nothing to publish")
        shown = shown_as(self._ip, self._port)
        if neuron.axon == shown:
            self._served_at = None
            return self._become("published", f"validators find us at {shown}")
        return await self._publish(self._ip, snapshot, neuron.axon, shown)

    def _leave(self, why: str, neuron: Neuron | None) -> str:
        if neuron is None:
            return self._become("off", f"nothing is published: {why}")
        if neuron.axon is None:
            return self._become("hidden", f"no validator can find us: the chain shows no address, and {why}")
        return self._become("off", f"{why}: validators are sent to {neuron.axon}, as the chain has it")

    async def _publish(self, ip: str, snapshot: Snapshot, was: str | None, shown: str) -> str:
        if self._served_at is not None and snapshot.block - self._served_at < SETTLE_BLOCKS:
            return self._become("pending", f"{shown} is published; waiting for the chain to show it")
        if self._clock() < self._retry_at:
            return self.outcome
        if self._mode != "force" and not await self._probe(ip, self._port):
            sentence = (
                f"nothing answers at {shown}: open the port, or set axon.announce to force to publish it"
            )
            return self._later(UNREACHABLE_RETRY_S, "unreachable", sentence)
        return await self._serve(ip, snapshot, was, shown)

    async def _serve(self, ip: str, snapshot: Snapshot, was: str | None, shown: str) -> str:
        try:
            await self._chain.serve(ip, self._port, self._keypair)
        except ChainDown as error:
            return self._become("chain down", f"{shown} could not be published: {error}")
        except ChainRefused as error:
            if error.rate_limited:
                wait = SETTLE_BLOCKS * snapshot.block_s
                sentence = f"the chain lets us publish {shown} only later; trying again"
                return self._later(wait, "rate limited", sentence)
            return self._later(REFUSED_RETRY_S, "refused", f"the chain refuses {shown}: {error}")
        self._served_at = snapshot.block
        return self._become("pending", f"published {shown} (was {was or 'nothing'})")

    def _later(self, seconds: float, outcome: str, sentence: str) -> str:
        self._retry_at = self._clock() + seconds
        return self._become(outcome, sentence)

    def _become(self, outcome: str, sentence: str) -> str:
        if outcome != self.outcome:
            bad = outcome in ("hidden", "unreachable", "refused", "chain down")
            logger.log("WARNING" if bad else "INFO", "address: {}", sentence)
        self.outcome, self.sentence = outcome, sentence
        return outcome

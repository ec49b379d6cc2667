"""What hostile clients do to a listening port. Each attack returns how its attempts ended.

Endings are an HTTP status, "closed" by the server without one, or "open" when it still was at the end.
Attackers sit on loopback addresses of their own: what an address may spend is theirs, not the validator's.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct
import uuid
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from bittensor import http_auth

from harness.stage import MINER, SECOND_VALIDATOR, VALIDATOR, jpeg, keypair, ss58
from miner.rehearsal.dendrite import Dendrite, prebuild

Endings = Counter[str]
Attack = Callable[["Target"], Awaitable[Endings]]
CHUNK = b"\0" * 65536
TRIES = 5

TLS_HELLO = bytes.fromhex("16030100c5010000c10303") + b"\x5a" * 190
SCANS: tuple[bytes | None, ...] = (
    None,  # a SYN scan's connect and close
    b"",  # the same with a reset
    TLS_HELLO,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\x12\x04" + b"\0" * 23,
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n",
    b"GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"POST /ImageSynapse HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    b"POST /ImageSynapse HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20_000 + b"\r\n",
    b"\0" * 4096,
    bytes(range(256)) * 16,
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where to aim, and how hard.

    `hold_s` seconds for which slow attackers go on; `huge_bytes` what a huge body declares; the rest, counts.
    """

    port: int
    hold_s: float = 12.0
    half_open: int = 300
    slow: int = 100
    huge: int = 6
    huge_bytes: int = 300_000_000
    unproven: int = 40
    strangers: int = 10_000
    forgeries: int = 2_000
    scans: int = 600


class Socket:
    """One attacker's connection. Its first reply is read as it comes: a reset would take it away."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._first_line = asyncio.create_task(reader.readline())

    async def send(self, data: bytes) -> bool:
        """False when the server has closed; a reply alone does not stop a hostile client."""
        try:
            self.writer.write(data)
            await self.writer.drain()
        except OSError:
            return False
        return not self.reader.at_eof()

    async def ending(self, patience_s: float) -> str:
        """How it ended: the status of the first reply, "closed" or "open"."""
        try:
            async with asyncio.timeout(patience_s):
                line = await self._first_line
        except TimeoutError:
            return "open"
        except (OSError, ValueError):
            return "closed"
        return line[9:12].decode("latin-1") if line.startswith(b"HTTP/1.1 ") else "closed"

    def close(self, *, reset: bool = False) -> None:
        if reset:
            handle = self.writer.get_extra_info("socket")
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._first_line.cancel()
        self.writer.transport.abort()


_hosts = itertools.cycle(range(1, 250))


async def streams(
    port: int, network: int, host: int = 0
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection from 127.0.`network`.`host`, by default from the next address of that network."""
    source = f"127.0.{network}.{host or next(_hosts)}"
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))


async def connect(port: int, network: int) -> Socket:
    return Socket(*await streams(port, network))


def head(port: int, signer: str, *, body: bytes, change: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
    """A signed request's line and headers, with text replaced after signing."""
    dendrite = Dendrite(keypair(signer), "127.0.0.1", port, ss58(MINER))
    signed, start, tail = dendrite.request(prebuild(b"x"), str(uuid.uuid4()))
    length = f"Content-Length: {len(start) + len(tail)}".encode()
    for old, new in ((length, body), *change):
        assert old in signed, f"{old!r} is not in the request"
        signed = signed.replace(old, new)
    return signed


async def half_open_headers(target: Target) -> Endings:
    """Headers that never end, a byte now and then so that the connection is never idle."""

    async def one() -> str:
        attacker = await connect(target.port, 1)
        await attacker.send(b"POST /ImageSynapse HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(target.hold_s):
                while await attacker.send(b"a"):
                    await asyncio.sleep(0.25)
        return await _leave(attacker, 0.05)

    return await _all(one() for _ in range(target.half_open))


async def header_bombs(target: Target) -> Endings:
    """Thousands of tiny headers each, never finished: a byte on the wire is a hundred in a parsed header."""

    async def one() -> str:
        attacker = await connect(target.port, 7)
        await attacker.send(b"POST /ImageSynapse HTTP/1.1\r\n" + b"a:b\r\n" * 6000)
        return await _leave(attacker, target.hold_s)

    return await _all(one() for _ in range(target.half_open))


async def slow_bodies(target: Target) -> Endings:
    """Bodies that never end, from a validator whose key we admit and from a stranger, in turns."""

    async def one(signer: str) -> str:
        attacker = await connect(target.port, 2)
        await attacker.send(head(target.port, signer, body=b"Content-Length: 16000"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(target.hold_s):
                while await attacker.send(b" "):
                    await asyncio.sleep(0.25)
        return await _leave(attacker, 0.05)

    signers = itertools.cycle((SECOND_VALIDATOR, "//slow-stranger"))
    return await _all(one(next(signers)) for _ in range(target.slow))


async def huge_bodies(target: Target) -> Endings:
    """Bodies of 300 MB: declared by a stranger, declared by an admitted validator, and chunked by one."""

    async def one(signer: str, length: bytes) -> str:
        attacker = await connect(target.port, 3)
        await attacker.send(head(target.port, signer, body=length))
        prefix, suffix = (b"10000\r\n", b"\r\n") if b"chunked" in length else (b"", b"")
        left = target.huge_bytes
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(target.hold_s):
                while left > 0 and await attacker.send(prefix + CHUNK + suffix):
                    left -= len(CHUNK)
        return await _leave(attacker, 1.0)

    declared = f"Content-Length: {target.huge_bytes}".encode()
    kinds = [("//huge-stranger", declared), (SECOND_VALIDATOR, declared)]
    kinds.append((SECOND_VALIDATOR, b"Transfer-Encoding: chunked"))
    return await _all(one(*kinds[n % len(kinds)]) for n in range(target.huge))


async def unproven_bodies(target: Target) -> Endings:
    """Large bodies in a validator's name, on the wire whose signature can be checked only once they are
    whole: all but the last byte of each."""
    size = 6 * 2**20

    async def one() -> str:
        attacker = await connect(target.port, 8)
        await attacker.send(_unproven_head(size))
        left = size - 1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(target.hold_s):
                while left > 0 and await attacker.send(CHUNK[:left]):
                    left -= len(CHUNK)
        return await _leave(attacker, target.hold_s)

    return await _all(one() for _ in range(target.unproven))


def _unproven_head(size: int) -> bytes:
    signed = http_auth.sign(
        keypair("//forger"), method="POST", path="/ImageSynapse", body=b"", receiver_ss58=ss58(MINER)
    )
    headers = {**signed, http_auth.HEADER_HOTKEY: ss58(VALIDATOR), "Content-Length": str(size)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /ImageSynapse HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode()


async def stranger_keys(target: Target) -> Endings:
    """Thousands of keys that are not registered, each with a signature that verifies."""
    return await _volley(target.port, 4, (f"//stranger{n}" for n in range(target.strangers)))


async def forged_signatures(target: Target) -> Endings:
    """A validator's name under signatures that are not its own: what costs a miner the most to refuse."""
    forged = (b"bt_header_dendrite_signature: 0x", b"bt_header_dendrite_signature: 0x00")
    return await _volley(target.port, 5, itertools.repeat(VALIDATOR, target.forgeries), 1, (forged,))


async def port_scans(target: Target) -> Endings:
    """Connect and leave, greetings of other protocols, requests that are none."""

    async def one(greeting: bytes | None) -> str:
        attacker = await connect(target.port, 6)
        if not greeting:
            attacker.close(reset=greeting is not None)
            return "left"
        await attacker.send(greeting)
        return await _leave(attacker, target.hold_s)

    endings: Endings = Counter()
    for first in range(0, target.scans, 60):
        endings += await _all(one(SCANS[n % len(SCANS)]) for n in range(first, min(first + 60, target.scans)))
    return endings


ATTACKS: dict[str, Attack] = {
    "half-open headers": half_open_headers,
    "header bombs": header_bombs,
    "slow bodies": slow_bodies,
    "300 MB bodies": huge_bodies,
    "unproven bodies": unproven_bodies,
    "stranger keys": stranger_keys,
    "forged signatures": forged_signatures,
    "port scans": port_scans,
}


async def all_at_once(target: Target) -> Endings:
    results = await asyncio.gather(*(attack(target) for attack in ATTACKS.values()))
    return sum(results, Counter())


async def _volley(
    port: int, network: int, signers: Iterable[str], host: int = 0, change: Iterable[tuple[bytes, bytes]] = ()
) -> Endings:
    """One small complete request for each signer, over 16 keep-alive connections. Who is closed on unheard
    comes again, at most `TRIES` times in all: a busy machine may not hear it before the header timer ends."""
    waiting = deque((signer, TRIES) for signer in signers)
    body = prebuild(jpeg(32))
    endings: Endings = Counter()

    async def caller() -> None:
        connection = None
        while waiting:
            signer, tries = waiting.popleft()
            dendrite = Dendrite(keypair(signer), "127.0.0.1", port, ss58(MINER))
            request = b"".join(dendrite.request(body, str(uuid.uuid4())))
            for old, new in change:
                request = request.replace(old, new)
            connection = connection or await streams(port, network, host)
            status = await _reply(*connection, request)
            endings[status] += 1
            if status == "closed":
                connection = None
                if tries > 1:
                    waiting.append((signer, tries - 1))

    await asyncio.gather(*(caller() for _ in range(16)))
    return endings


async def _reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> str:
    """The status of one request; the connection is ready for the next unless it was "closed"."""
    writer.write(request)
    try:
        async with asyncio.timeout(10.0):
            reply = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(reply.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
    except (OSError, asyncio.IncompleteReadError):
        writer.transport.abort()
        return "closed"
    return reply[9:12].decode()


async def _leave(attacker: Socket, patience_s: float) -> str:
    ending = await attacker.ending(patience_s)
    attacker.close()
    return ending


async def _all(attempts: Iterable[Coroutine[Any, Any, str]]) -> Endings:
    """Run the attempts together; a connection that cannot even be made ends as "closed"."""
    results = await asyncio.gather(*attempts, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, OSError):
            raise result
    return Counter(result if isinstance(result, str) else "closed" for result in results)

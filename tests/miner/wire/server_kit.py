"""A server with a real endpoint behind it, and its clients, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field

from wire_kit import MINER, SNAPSHOT, TinyEngine, body, headers

from miner.records import Exchange
from miner.settings import Axon, Blacklist, Wire
from miner.wire import synapse
from miner.wire.admission import Admission
from miner.wire.auth import authenticators
from miner.wire.endpoint import Endpoint
from miner.wire.server import Server

FAST = {"max_ahead_s": 0.001}


def axon(port: int = 0, ip: str = "127.0.0.1") -> Axon:
    return Axon().model_copy(update={"port": port, "ip": ip})


@dataclass
class House:
    """A server with a real endpoint behind it."""

    wire: Wire
    server: Server = None
    engine: TinyEngine = field(default_factory=TinyEngine)
    exchanges: list[Exchange] = field(default_factory=list)
    refusals: list[tuple[int, str]] = field(default_factory=list)

    async def open(self, ip: str) -> None:
        admission = Admission(Blacklist())
        admission.update(SNAPSHOT)
        endpoint = Endpoint(
            hotkey=MINER.ss58_address,
            admission=admission,
            authenticators=authenticators(MINER.ss58_address),
            engine=self.engine,
            record=self.exchanges.append,
            refused=self.refuse,
            wire=self.wire,
        )
        self.server = Server(endpoint, axon(ip=ip), self.wire, refused=self.refuse)
        await self.server.start()

    def refuse(self, status: int, reason: str) -> None:
        assert reason in synapse.REASONS
        self.refusals.append((status, reason))

    async def client(self, host: str = "127.0.0.1") -> Client:
        return Client(*await asyncio.open_connection(host, self.server.port))


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def reply(self) -> tuple[int, dict[str, str], bytes]:
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        first, *lines = head.decode().split("\r\n")
        named = dict(line.split(": ", 1) for line in lines if line)
        return int(first.split()[1]), named, await self.reader.readexactly(int(named["content-length"]))

    async def closed(self) -> bool:
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(self.reader.read(), 10)
        return True


@contextlib.asynccontextmanager
async def house(ip: str = "127.0.0.1", **wire):
    made = House(Wire(**{**FAST, **wire}))
    await made.open(ip)
    await asyncio.sleep(
        0.002
    )  # past the server's first moment, in which a predecessor's nonces could still come
    try:
        yield made
    finally:
        await made.server.stop(0.1)


def request(content: bytes | None = None, drop_length: bool = False, **more) -> bytes:
    """The bytes of a challenge, signed now."""
    content = body() if content is None else content
    extra = more.pop("extra", {})
    lines = {"Host": "miner", **headers(**more), **extra}
    if not drop_length:
        lines.setdefault("Content-Length", str(len(content)))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST /ImageSynapse HTTP/1.1\r\n{head}\r\n".encode() + content


async def until(condition, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "never happened"
        await asyncio.sleep(0.01)

"""The validators' side of the `bt_header_*` wire: challenges as SDK 10's Dendrite does.

SDK 11 has no Dendrite. Header order and body layout are those captured from 9.12.2 and 10.5.0. A
challenge costs about a tenth of a millisecond of CPU, so this is also the load generator of the benches.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

import httptools

from miner.rehearsal.connection import Connection, Disconnected
from models.core import NO_PREDICTION

TIMEOUT_S = 9.0
VERSION = 10_005_000
BODY_HASH = hashlib.sha3_256(b"").hexdigest()
"""The hash of no fields: ImageSynapse declares none, so the signature never covers the image."""

_SIZE_WITHOUT_IMAGE = 3175  # what the SDK's own count of a synapse says, less the image's characters
_NO_TERMINAL = '"status_code": null, "status_message": null, "process_time": null'


class Signer(Protocol):
    """What is needed of a key pair (bittensor's `Keypair` has it)."""

    @property
    def ss58_address(self) -> str: ...

    def sign(self, data: bytes, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Body:
    """The part of a request's body that no nonce changes, built once and sent often. `chars` of base64."""

    tail: bytes
    chars: int


def prebuild(image: bytes, *, testnet_label: int = -1) -> Body:
    """Encode an image once. `testnet_label` is the truth that validators attach on testnet (-1: none)."""
    encoded = base64.b64encode(image)
    head = f'"computed_body_hash": "", "testnet_label": {testnet_label}, "image": "'.encode()
    return Body(head + encoded + b'", "prediction": -1.0}', len(encoded))


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of one challenge.

    `status`     HTTP status, 0 when none arrived.
    `prediction` as the subnet's validators would read it (NaN passes); -1.0 when there is none.
    `ms`         from the call to the reply, connecting included.
    `reason`     why there is no prediction: "timeout", "unreachable", "disconnected", "bad reply" or what
                 the server said.
    """

    status: int
    prediction: float
    ms: float
    reason: str = ""

    @property
    def outcome(self) -> str:
        """`answered`, `shed` (refused at once with 503), `refused` (any 4xx) or `lost`."""
        if self.status == 503:
            return "shed"
        if 400 <= self.status < 500:
            return "refused"
        return "answered" if self.status == 200 and self.prediction != NO_PREDICTION else "lost"


class Dendrite:
    """Challenges one miner over a pool of keep-alive connections. Use as `async with`, or `await close()`.

    `host` is an IPv4 address, an IPv6 address without brackets, or a name; `axon_hotkey` is the receiver that
    is signed for; `timeout` is the total per challenge in seconds, connecting included; `clock` gives
    wall-clock nanoseconds.
    """

    def __init__(
        self,
        keypair: Signer,
        host: str,
        port: int,
        axon_hotkey: str,
        *,
        timeout: float = TIMEOUT_S,
        own_ip: str = "127.0.0.1",
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._sign = keypair.sign
        self._host, self._port, self._axon_hotkey = host, port, axon_hotkey
        self._hotkey = keypair.ss58_address
        self._timeout = timeout
        self._clock = clock
        self._nonce = 0
        self._idle: list[Connection] = []
        self._head, self._body = _templates(host, port, axon_hotkey, self._hotkey, timeout, own_ip)

    async def __aenter__(self) -> Dendrite:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def challenge(self, image: bytes | Body) -> Reply:
        """Send one challenge; never raises for what the other side does."""
        body = image if isinstance(image, Body) else prebuild(image)
        start = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout):
                status, content = await self._exchange(body)
        except TimeoutError:
            return _lost(start, "timeout")
        except Disconnected:
            return _lost(start, "disconnected")
        except httptools.HttpParserError:
            return _lost(start, "bad reply")
        except OSError:
            return _lost(start, "unreachable")
        ms = (time.perf_counter() - start) * 1000
        return _read(status, content, ms)

    async def close(self) -> None:
        """Close the idle connections."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        await asyncio.sleep(0)  # lets the transports finish

    def request(self, body: Body, uuid: str) -> tuple[bytes, bytes, bytes]:
        """The bytes of one signed request (head, start of the body, rest), under a nonce of its own."""
        nonce = self._nonce = max(self._clock(), self._nonce + 1)
        signed = f"{nonce}.{self._hotkey}.{self._axon_hotkey}.{uuid}.{BODY_HASH}"
        signature = "0x" + self._sign(signed.encode()).hex()
        total = _SIZE_WITHOUT_IMAGE + body.chars
        start = (self._body % (total, nonce, uuid, signature)).encode()
        head = self._head % (nonce, uuid, signature, total, len(start) + len(body.tail))
        return head.encode(), start, body.tail

    async def _exchange(self, body: Body) -> tuple[int, bytes]:
        connection = await self._connection()
        try:
            reply = await connection.ask(self.request(body, connection.uuid))
        except BaseException:
            connection.close()
            raise
        if connection.usable:
            self._idle.append(connection)
        else:
            connection.close()
        return reply

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, self._host, self._port)
        return connection


def _templates(
    host: str, port: int, axon_hotkey: str, hotkey: str, timeout: float, own_ip: str
) -> tuple[str, str]:
    """Format strings of the head and of the body's start, with what changes per request left open."""
    host = host.replace("%", "%%")  # an IPv6 scope must survive the formatting
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    headers = {
        "Host": authority,
        "name": "ImageSynapse",
        "timeout": str(float(timeout)),
        "bt_header_axon_ip": host,
        "bt_header_axon_port": str(port),
        "bt_header_axon_hotkey": axon_hotkey,
        "bt_header_dendrite_ip": own_ip,
        "bt_header_dendrite_version": str(VERSION),
        "bt_header_dendrite_nonce": "%d",
        "bt_header_dendrite_uuid": "%s",
        "bt_header_dendrite_hotkey": hotkey,
        "bt_header_dendrite_signature": "%s",
        "header_size": "464",
        "total_size": "%d",
        "computed_body_hash": BODY_HASH,
        "Accept": "*/*",
        "Content-Length": "%d",
        "Content-Type": "application/json",
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    body = (
        f'{{"name": "ImageSynapse", "timeout": {float(timeout)}, "total_size": %d, "header_size": 0, '
        f'"dendrite": {{{_NO_TERMINAL}, "ip": "{own_ip}", "port": null, "version": {VERSION}, '
        f'"nonce": %d, "uuid": "%s", "hotkey": "{hotkey}", "signature": "%s"}}, '
        f'"axon": {{{_NO_TERMINAL}, "ip": "{host}", "port": {port}, "version": null, "nonce": null, '
        f'"uuid": null, "hotkey": "{axon_hotkey}", "signature": null}}, '
    )
    return f"POST /ImageSynapse HTTP/1.1\r\n{lines}\r\n", body


def _lost(start: float, reason: str) -> Reply:
    return Reply(0, NO_PREDICTION, (time.perf_counter() - start) * 1000, reason)


def _read(status: int, content: bytes, ms: float) -> Reply:
    """Read a reply as the subnet does: only a 200 with a numeric prediction counts."""
    data: object = None
    with contextlib.suppress(ValueError):
        data = json.loads(content)
    if status == 200:
        prediction = _number(data.get("prediction", NO_PREDICTION)) if isinstance(data, dict) else None
        if prediction is None:
            return Reply(status, NO_PREDICTION, ms, "bad reply")
        return Reply(status, prediction, ms)
    message = data.get("message", "") if isinstance(data, dict) else ""
    return Reply(status, NO_PREDICTION, ms, str(message)[:200] or f"HTTP {status}")


def _number(value: object) -> float | None:
    """A float as pydantic's lax mode reads JSON (numbers, booleans, numeric strings), else None."""
    if not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.inf if isinstance(value, int) else None

"""A load generator that costs little: keep-alive sockets, requests signed ahead, no event loop.

Run it as `python -m harness.load`: a line with a `Load` signs its requests, unless it wants each `fresh`, and
is answered when that is done; the next line, whatever it says, sends them and is answered with the `Outcome`.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from harness.stage import CHALLENGE_BYTES, MINER, VALIDATOR, jpeg, keypair, ss58
from miner.rehearsal.dendrite import Body, Dendrite, prebuild

PATIENCE_S = 15.0
IMAGES = 64

Signed = tuple[bytes, bytes, bytes]


@dataclass(frozen=True, slots=True)
class Load:
    """One round: `concurrency` connections, one request in flight each, for `seconds` or `most` requests.

    `fresh`: each is signed when it is sent. That costs the client more, but none grows stale in a long round,
    or on a machine that others use."""

    port: int
    concurrency: int
    seconds: float
    most: int
    host: str = "127.0.0.1"
    signer: str = VALIDATOR
    receiver: str = MINER
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back. `statuses` HTTP status -> count ("lost": no reply); `ms` percentile -> latency."""

    answered: int
    seconds: float
    statuses: dict[str, int]
    ms: dict[str, float]


class Caller:
    """One connection and the requests that are to go over it."""

    def __init__(self, load: Load, requests: Iterator[Signed]) -> None:
        self.socket = socket.create_connection((load.host, load.port), timeout=PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._requests = requests
        self._reply = b""
        self._sent_at = 0.0

    def send(self) -> bool:
        """Send the next request; False when there is none."""
        request = next(self._requests, None)
        if request is None:
            return False
        message = b"".join(request)
        self._sent_at = time.perf_counter()
        self.socket.sendall(message)
        return True

    def receive(self) -> tuple[str, float] | None:
        """HTTP status and seconds once the reply is complete; "lost" when the other side closes."""
        try:
            data = self.socket.recv(65536)
        except OSError:
            data = b""
        if not data:
            return "lost", 0.0
        self._reply += data
        head, end, body = self._reply.partition(b"\r\n\r\n")
        if not end or len(body) < _content_length(head):
            return None
        status = head[9:12].decode()
        self._reply = b""
        return status, time.perf_counter() - self._sent_at


def _content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


def bodies() -> list[Body]:
    """Different images of the usual size, so that no answer can come from a cache of a few."""
    return [prebuild(jpeg(size=CHALLENGE_BYTES, seed=seed)) for seed in range(IMAGES)]


def build(load: Load, images: list[Body]) -> list[Iterator[Signed]]:
    """Signed requests for each connection, in the order of their nonces.

    Each connection has a uuid of its own: the stock Axon wants the nonces of one uuid to rise.
    """
    dendrite = Dendrite(keypair(load.signer), load.host, load.port, ss58(load.receiver))
    each = -(-load.most // load.concurrency)

    def requests(session: str) -> Iterator[Signed]:
        return (dendrite.request(images[n % len(images)], session) for n in range(each))

    built = [requests(str(uuid.uuid1())) for _ in range(load.concurrency)]
    return built if load.fresh else [iter(list(one)) for one in built]


def run(load: Load, requests: Iterable[Iterator[Signed]]) -> Outcome:
    """One round. A connection whose request is lost is not opened again."""
    try:
        callers = [Caller(load, waiting) for waiting in requests]
    except OSError:
        return Outcome(0, 0.0, {"unreachable": load.concurrency}, percentiles([]))
    statuses: Counter[str] = Counter()
    latencies: list[float] = []
    with selectors.DefaultSelector() as selector:
        start = time.perf_counter()
        waiting = 0
        for caller in callers:
            selector.register(caller.socket, selectors.EVENT_READ, caller)
            waiting += caller.send()
        while waiting:
            ready = selector.select(PATIENCE_S)
            if not ready:
                statuses["lost"] += waiting
                break
            for key, _ in ready:
                reply = key.data.receive()
                if reply is None:
                    continue
                waiting -= 1
                status, took = reply
                statuses[status] += 1
                if status == "lost":
                    selector.unregister(key.fileobj)
                    continue
                latencies.append(took)
                if time.perf_counter() - start < load.seconds:
                    waiting += key.data.send()
        seconds = time.perf_counter() - start
    for caller in callers:
        caller.socket.close()
    return Outcome(statuses["200"], seconds, dict(statuses), percentiles(latencies))


def percentiles(seconds: list[float]) -> dict[str, float]:
    """p50, p95 and p99 in milliseconds."""
    ordered = sorted(seconds) or [float("nan")]
    return {f"p{q}": ordered[min(len(ordered) - 1, len(ordered) * q // 100)] * 1000 for q in (50, 95, 99)}


def main() -> None:
    images = bodies()
    say({"ready": True})
    for line in sys.stdin:
        load = Load(**json.loads(line))
        requests = build(load, images)
        say({"ready": True})
        if sys.stdin.readline():
            say(asdict(run(load, requests)))


def say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()

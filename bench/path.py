"""What one challenge costs the front's interpreter, without a socket: bytecodes by module, which no neighbour
can change, and microseconds of CPU, warm and with caches that something else has used meanwhile.

Connection, door, engine (its child's answers are made between the measured parts), record; then the sinks,
by the row, in batches of 100. What the kernel takes for sockets and wake-ups is not in here: `bench/wire.py`
counts all of a process."""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

from harness.ending import conclude
from harness.stage import CHALLENGE_BYTES, MINER, VALIDATOR, jpeg, keypair, ss58, subnet

from miner import loop
from miner.engine import frames
from miner.engine.child import ChildEngine
from miner.engine.config import EngineConfig
from miner.engine.process import Child
from miner.ledger import Ledger
from miner.records import Exchange
from miner.rehearsal.dendrite import Dendrite, prebuild
from miner.settings import Blacklist, Wire
from miner.status import Tally
from miner.telemetry import Metrics, RequestLog, set_up_logging
from miner.wire.admission import Admission
from miner.wire.auth import authenticators
from miner.wire.connection import Connection
from miner.wire.endpoint import Endpoint
from models.core import Verdict
from models.description import Description
from models.imaging.header import Limits

ROOT = Path(__file__).resolve().parents[1]
WIRE = Wire(caller_rate=100_000, caller_burst=100_000, max_ahead_s=0.001, max_age_s=3600)
TRIVIAL = Description("bench", ({"kind": "trivial"},))
LIMITS = Limits(bytes=1 << 22, pixels=25_000_000)
MOST_BYTECODES = 3_550
GENERATED = "<string>"
CACHE_BYTES = 3 << 20
"""What is walked over between two parts to have cold caches: more than a core's own."""
BATCH = 100


@dataclass(slots=True)
class Parts:
    """`admit` from the bytes of a request to the question to the child, `answer` from its frame to the reply
    and the record: microseconds of this thread's CPU, medians."""

    admit: float
    answer: float


class Far(asyncio.Transport):
    """The other end of a connection: it remembers what was written to it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 4000)})
        self.written: list[bytes] = []

    def write(self, data: Any) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return False

    def resume_reading(self) -> None: ...


class Nobody:
    """Keeps no list of connections."""

    def add(self, connection: Connection) -> None: ...

    def proven(self, connection: Connection) -> None: ...

    def remove(self, connection: Connection) -> None: ...


@dataclass
class Front:
    """A front whose child is this bench, put where the engine would put one that is ready."""

    client: Far = field(default_factory=Far)
    far: Far = field(default_factory=Far)
    exchanges: list[Exchange] = field(default_factory=list)
    refused: str = ""
    junk: bytearray = field(default_factory=lambda: bytearray(CACHE_BYTES))

    def __post_init__(self) -> None:
        config = EngineConfig(cascade=TRIVIAL, device="cpu", limits=LIMITS)
        engine = ChildEngine(config)
        self.child = Child(config, engine._heard, engine._died)
        self.child.connection_made(self.far)
        self.child.ready = True
        seat = engine._serving = engine._seats[0]
        seat.child = self.child
        admission = Admission(Blacklist())
        admission.update(subnet())
        hotkey = ss58(MINER)
        door = Endpoint(
            hotkey=hotkey,
            admission=admission,
            authenticators=authenticators(hotkey),
            engine=engine,
            record=self.exchanges.append,
            refused=self._refused,
            wire=WIRE,
        )
        self.connection = Connection(door, {}, WIRE, Nobody(), self._refused)
        self.connection.connection_made(self.client)
        self._dendrite = Dendrite(keypair(VALIDATOR), "127.0.0.1", 8091, hotkey)
        self._bodies = [prebuild(jpeg(size=CHALLENGE_BYTES, seed=seed)) for seed in range(16)]

    def requests(self, count: int) -> list[bytes]:
        return [b"".join(self._dendrite.request(self._bodies[n % 16], "bench")) for n in range(count)]

    async def ask(self, request: bytes, cold: bool = False) -> tuple[int, int]:
        """Nanoseconds of this thread's CPU for both parts."""
        self._cool(cold)
        start = time.thread_time_ns()
        self.connection.data_received(request)
        await self.until(self.far)
        admitted = time.thread_time_ns() - start
        frame = _answer(self.far.written.pop())
        self._cool(cold)
        start = time.thread_time_ns()
        self.child.data_received(frame)
        await self.until(self.client)
        answered = time.thread_time_ns() - start
        assert self.client.written.pop().startswith(b"HTTP/1.1 200")
        return admitted, answered

    async def until(self, end: Far) -> None:
        """Something was written there."""
        while not end.written:
            if self.refused:
                raise SystemExit(f"a request of the bench was refused: {self.refused}")
            await asyncio.sleep(0)

    def _cool(self, cold: bool) -> None:
        if cold:
            memoryview(self.junk)[::64].tobytes()

    def _refused(self, status: int, reason: str) -> None:
        self.refused = f"{status} {reason}"


def _answer(frame: bytes) -> bytes:
    """What a child with a trivial tier says to it."""
    ((header, _),) = frames.Reader().feed(frame)
    verdict = Verdict(
        header["id"],
        0.8125,
        1.4663,
        ("trivial",),
        versions={"trivial": "1"},
        ms={"decode": 0.412, "queue": 0.051, "trivial": 0.012, "total": 0.6},
        evidence={"trivial": 1.4663},
    )
    return frames.pack(frames.outcome(header["number"], verdict))


async def counted(front: Front, count: int) -> dict[str, float]:
    """Bytecodes of the project's own modules for a challenge, and of what dataclasses have written for
    them."""
    requests, seen = front.requests(count), Counter[str]()
    ours = (f"{ROOT}/miner/", f"{ROOT}/models/", GENERATED)

    def enter(frame: FrameType, event: str, arg: Any) -> Any:
        file = frame.f_code.co_filename
        if not file.startswith(ours):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False

        def step(frame: FrameType, event: str, arg: Any) -> Any:
            seen[file] += event == "opcode"
            return step

        return step

    for request in requests:
        sys.settrace(enter)
        front.connection.data_received(request)
        await front.until(front.far)
        sys.settrace(None)
        frame = _answer(front.far.written.pop())
        sys.settrace(enter)
        front.child.data_received(frame)
        await front.until(front.client)
        sys.settrace(None)
        front.client.written.clear()
    return {file.removeprefix(f"{ROOT}/"): bytecodes / count for file, bytecodes in seen.most_common()}


async def timed(front: Front, count: int, rounds: int, cold: bool) -> Parts:
    """The least of the rounds' medians: what neighbours add can only be more."""
    parts = []
    for _ in range(rounds):
        taken = [await front.ask(request, cold) for request in front.requests(count)]
        parts.append([statistics.median(each) / 1e3 for each in zip(*taken, strict=True)])
    return Parts(*(min(each) for each in zip(*parts, strict=True)))


def sinks(exchanges: Sequence[Exchange], rounds: int) -> dict[str, float]:
    """Microseconds of CPU a row, the least of the rounds."""
    with tempfile.TemporaryDirectory() as name, Path(os.devnull).open("w") as nowhere:
        set_up_logging(sink=nowhere)
        ledger = Ledger(Path(name) / "ledger.sqlite")
        every: dict[str, Callable[[Sequence[Exchange]], None]] = {
            "metrics": Metrics().write,
            "status": Tally().write,
            "log": RequestLog(Path(name) / "challenges.jsonl").write,
            "ledger": ledger.write,
        }
        taken: dict[str, list[float]] = {sink: [] for sink in every}
        for _ in range(rounds):
            batch = [replace(each, sha256=os.urandom(32).hex()) for each in exchanges]
            for sink, write in every.items():
                start = time.thread_time_ns()
                write(batch)
                taken[sink].append((time.thread_time_ns() - start) / 1e3 / len(batch))
        ledger.close()
    return {sink: min(each) for sink, each in taken.items()}


async def measure(count: int, rounds: int) -> dict[str, Any]:
    front = Front()
    await asyncio.sleep(0.1)  # past the door's first moment, in which a predecessor's nonces could still come
    for request in front.requests(2 * BATCH):
        await front.ask(request)
    codes = await counted(front, 20)
    warm, cold = [await timed(front, count, rounds, cold) for cold in (False, True)]
    return {
        "bytecodes": codes,
        "warm_us": {"admit": warm.admit, "answer": warm.answer},
        "cold_us": {"admit": cold.admit, "answer": cold.answer},
        "sinks_us": sinks(front.exchanges[:BATCH], rounds),
    }


def show(seen: dict[str, Any]) -> None:
    for file, bytecodes in seen["bytecodes"].items():
        print(f"{bytecodes:8.0f} bytecodes  {file}")
    print(f"{sum(seen['bytecodes'].values()):8.0f} bytecodes a challenge")
    for kind in ("warm", "cold"):
        parts = seen[f"{kind}_us"]
        told = ", ".join(f"{name} {us:.0f}" for name, us in parts.items())
        print(f"{sum(parts.values()):8.0f} us of CPU with {kind} caches ({told})")
    told = ", ".join(f"{name} {us:.1f}" for name, us in seen["sinks_us"].items())
    print(f"{sum(seen['sinks_us'].values()):8.0f} us of CPU in the sinks ({told})")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    seen = loop.run(measure(*((100, 5) if arguments.quick else (300, 15))))
    show(seen)
    print(f"the machine's load average when this began: {load:.1f} on {os.cpu_count()} cores")
    total = sum(seen["bytecodes"].values())
    missed = [f"{total:.0f} bytecodes a challenge (target: {MOST_BYTECODES})"] * (total > MOST_BYTECODES)
    return conclude({**seen, "load": load}, missed, file=arguments.json, check=arguments.check)


if __name__ == "__main__":
    sys.exit(main())

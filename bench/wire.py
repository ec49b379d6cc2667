"""What the front costs per request, and how many it answers, beside the stock Axons of two SDKs.

Ours is the whole daemon (ledger, request log, metrics, page, engine child with a trivial tier); theirs is an
Axon with a trivial forward. All get the same signed challenges (JPEGs of 12,000 bytes) over keep-alive
connections from one raw client in a process of its own, in interleaved rounds; medians are shown.

CPU is that of the serving process with all its threads, in the kernel too, from the first byte of a round to
0.8 s after the last: whatever it does by the clock is in there, and nothing of the bench is. Our engine child
is in a column of its own; decoding and judging happen there.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "peers"))

from environments import PEERS, PeerUnavailable, interpreter, start
from harness.process import Talk, children, cpu_s, ours, rss_mb
from harness.stage import MINER, VALIDATOR, ss58

CONCURRENCIES = (1, 8, 32)
OURS = "ours"
REFERENCE = "Axon 10.5.0"
CPU_MS, CPU_AMBITION_MS = 0.5, 0.35
SPEED_UP = 8.0
MOST_RPS = {OURS: 5000, REFERENCE: 800, "Axon 9.12.2": 200}
"""How many requests are signed ahead for a second; more than any of them answers."""
FLAGS = {
    "wire.caller_rate": 100_000,
    "wire.caller_burst": 1_000_000,
    "wire.max_ahead_s": 1,
    "engine.cache_s": 0,
}
"""The rate limit would stop this bench, and a cache would answer for the engine."""
SETTLE_S = 0.8
"""After a round: the recorder writes its last batch within half a second."""


@dataclass(frozen=True, slots=True)
class Server:
    """Somebody who serves on `port`; `pausable` when it may stand still while others are measured."""

    name: str
    pid: int
    port: int
    pausable: bool


@dataclass(slots=True)
class Rounds:
    """What was measured of one server at one concurrency, a figure per round.

    `cpu_ms` and `child_ms` per answered request, `rps` answered per second, `p50` and `p95` in ms.
    """

    cpu_ms: list[float] = field(default_factory=list)
    child_ms: list[float] = field(default_factory=list)
    rps: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p95: list[float] = field(default_factory=list)
    lost: int = 0

    def median(self, name: str) -> float:
        return statistics.median(getattr(self, name))


Table = dict[str, dict[int, Rounds]]


@contextmanager
def servers(folder: Path) -> Iterator[tuple[list[Server], list[str]]]:
    """Everybody who can be measured here, and why the others cannot."""
    with ExitStack() as stack:
        running, missing = [daemon(stack, folder)], []
        for version in PEERS:
            try:
                running.append(axon(stack, folder, version))
            except PeerUnavailable as error:
                missing.append(f"Axon {version}: {error}")
        yield running, missing
        for server in running:
            with suppress(ProcessLookupError):
                os.kill(server.pid, signal.SIGCONT)


def daemon(stack: ExitStack, folder: Path) -> Server:
    port = free_port()
    first = {"folder": str(folder), "port": port, "flags": FLAGS}
    talk = stack.enter_context(ours("harness.daemon", folder / "daemon.log", first))
    return Server(OURS, talk.pid, port, pausable=False)


def axon(stack: ExitStack, folder: Path, version: str) -> Server:
    port = free_port()
    first = {"port": port, "miner": MINER, "allowed": [ss58(VALIDATOR)]}
    talk = stack.enter_context(start(interpreter(PEERS[version]), "stock_axon.py", folder, first))
    return Server(f"Axon {version}", talk.pid, port, pausable=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def wait_until_it_answers(client: Talk, server: Server, patience_s: float = 60.0) -> None:
    """Challenge until the first 200: the chain is to be read, the model loaded, nonces accepted."""
    end = time.monotonic() + patience_s
    statuses: dict[str, int] = {}
    while time.monotonic() < end:
        client.ask({"port": server.port, "concurrency": 1, "seconds": 1.0, "most": 1})
        statuses = client.ask({})["statuses"]
        if statuses.get("200"):
            return
        time.sleep(0.2)
    raise SystemExit(f"{server.name} did not answer within {patience_s:.0f} s: {statuses}")


@contextmanager
def alone(server: Server, everybody: list[Server]) -> Iterator[None]:
    """Let the idle Axons stand still meanwhile: they poll a thousand times a second."""
    others = [other.pid for other in everybody if other.pausable and other != server]
    for pid in others:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)


def measure(client: Talk, server: Server, concurrency: int, seconds: float, rounds: Rounds) -> None:
    """One round, added to `rounds`."""
    most = int(MOST_RPS[server.name] * seconds)
    client.ask({"port": server.port, "concurrency": concurrency, "seconds": seconds, "most": most})
    before, child_before = cpu_s(server.pid), sum(map(cpu_s, children(server.pid)))
    outcome = client.ask({})
    time.sleep(SETTLE_S)
    spent, child_spent = cpu_s(server.pid) - before, sum(map(cpu_s, children(server.pid))) - child_before
    answered = max(1, outcome["answered"])
    rounds.cpu_ms.append(spent / answered * 1000)
    rounds.child_ms.append(child_spent / answered * 1000)
    rounds.rps.append(outcome["answered"] / outcome["seconds"])
    rounds.p50.append(outcome["ms"]["p50"])
    rounds.p95.append(outcome["ms"]["p95"])
    rounds.lost += sum(outcome["statuses"].values()) - outcome["answered"]


def compare(rounds: int, seconds: float) -> tuple[Table, dict[str, float], list[str]]:
    """Medians' raw material, resident MB by server, and who could not be measured."""
    with (
        tempfile.TemporaryDirectory() as name,
        ours("harness.load", Path(name) / "load.log") as client,
        servers(Path(name)) as (running, missing),
    ):
        for server in running:
            wait_until_it_answers(client, server)
        table: Table = {server.name: {c: Rounds() for c in CONCURRENCIES} for server in running}
        for _, concurrency, server in itertools.product(range(rounds), CONCURRENCIES, running):
            with alone(server, running):
                measure(client, server, concurrency, seconds, table[server.name][concurrency])
        return table, {server.name: rss_mb(server.pid) for server in running}, missing


def show(table: Table, memory: dict[str, float]) -> None:
    columns = ("CPU ms/req", "child ms", "req/s", "p50 ms", "p95 ms", "not 200", "RSS MB", "x 10.5.0")
    print(f"{'server':14s} {'conc':>4s}", *(f"{column:>10s}" for column in columns))
    for name, by_concurrency in table.items():
        for concurrency, seen in by_concurrency.items():
            costs = (
                f"{seen.median('cpu_ms'):10.3f} {seen.median('child_ms'):10.3f} {seen.median('rps'):10.0f}"
            )
            waits = f"{seen.median('p50'):10.2f} {seen.median('p95'):10.2f} {seen.lost:10d}"
            rest = f"{memory[name]:10.0f} {speed_up(table, name, concurrency):10.1f}"
            print(f"{name:14s} {concurrency:4d} {costs} {waits} {rest}")


def speed_up(table: Table, name: str, concurrency: int) -> float:
    """Median over rounds of the ratio of requests per second to those of Axon 10.5.0 in the same round."""
    if REFERENCE not in table:
        return float("nan")
    pairs = zip(table[name][concurrency].rps, table[REFERENCE][concurrency].rps, strict=True)
    return statistics.median(mine / max(theirs, 1e-9) for mine, theirs in pairs)


def failures(table: Table, missing: list[str]) -> Iterator[str]:
    yield from (f"not compared with {line}" for line in missing)
    for concurrency, seen in table[OURS].items():
        spent = seen.median("cpu_ms")
        if not spent <= CPU_MS:
            yield f"{spent:.3f} ms CPU per request at concurrency {concurrency} (target: {CPU_MS})"
        if seen.lost:
            yield f"{seen.lost} requests of ours got no 200 at concurrency {concurrency}"
    ratio = speed_up(table, OURS, 8)
    if REFERENCE in table and not ratio >= SPEED_UP:
        yield f"{ratio:.1f} times the requests/s of {REFERENCE} at concurrency 8 (target: {SPEED_UP:.0f})"


def ambition(table: Table) -> str:
    figures = {concurrency: seen.median("cpu_ms") for concurrency, seen in table[OURS].items()}
    said = ", ".join(f"{ms:.3f} at {concurrency}" for concurrency, ms in figures.items())
    met = "met" if max(figures.values()) <= CPU_AMBITION_MS else "not met"
    return f"ambition of {CPU_AMBITION_MS} ms CPU per request: {met} ({said})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round instead of five longer ones")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of every round there")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    table, memory, missing = (
        compare(rounds=1, seconds=1.5) if arguments.quick else compare(rounds=5, seconds=3.0)
    )
    show(table, memory)
    print(f"the machine's load average when this began: {load:.1f} on {os.cpu_count()} cores")
    if arguments.json:
        rows = {name: {c: asdict(seen) for c, seen in row.items()} for name, row in table.items()}
        arguments.json.write_text(
            json.dumps({"servers": rows, "rss_mb": memory, "missing": missing}, indent=1)
        )
    print(ambition(table))
    missed = list(failures(table, missing))
    print("\n".join(f"MISSED: {line}" for line in missed) or "all targets met")
    return int(arguments.check and bool(missed))


if __name__ == "__main__":
    sys.exit(main())

"""A million requests through a tier that costs nothing, and whether memory grows meanwhile.

The whole miner (ledger, request log, metrics, page) with the trivial tier, asked over --concurrency (16)
keep-alive connections from one raw client, in rounds; after each, memory of front and engine child: what is
their own (anonymous: the rest are files, whose pages the kernel takes and gives back as it likes). Slope in
MB per million requests with its 95 % interval, over rounds after the first quarter (windows that the miner
fills fill in it). Growth is what the interval's low end says for sure.

What the miner does by the clock (it reads its ledger for drift every 15 minutes, for rewards every 5) hardly
shows in a short run: with --day 2880 it does a day's work in 48 minutes."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from harness.ending import conclude
from harness.process import Talk, children, ours, rss_mb
from wire import FLAGS, Server, free_port, wait_until_it_answers

SETTLING = 0.25
GROWTH_MB = 2.0
"""Most that memory may surely grow by in the part of the run that counts: the soak's allowance too."""
FRONT, CHILD = "front", "engine child"


@dataclass(frozen=True, slots=True)
class Trend:
    """Memory (MB) at the beginning and the end of what counts, the most of all; `slope` MB per million
    requests, `low` and `high` the ends of its 95 % interval; `requests` that count."""

    name: str
    first: float
    last: float
    most: float
    slope: float
    low: float
    high: float
    requests: int

    @property
    def growth(self) -> float:
        """MB that it surely grew by."""
        return max(0.0, self.low * self.requests / 1e6)


@dataclass(slots=True)
class Seen:
    """`after` requests sent by the end of each round; memory of its own then, by process; the most that was
    resident (MB); HTTP statuses; seconds."""

    after: list[int] = field(default_factory=list)
    memory: dict[str, list[float]] = field(default_factory=lambda: {FRONT: [], CHILD: []})
    resident: dict[str, float] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


def trend(name: str, after: list[int], memory: list[float]) -> Trend:
    """Least squares over the rounds that count. Neighbouring rounds are alike, so the interval is that of as
    many rounds as would be independent (by the residuals' first autocorrelation)."""
    skip = int(len(after) * SETTLING)
    x, y = np.array(after[skip:], float) / 1e6, np.array(memory[skip:])
    slope, level = np.polyfit(x, y, 1)
    rest = y - slope * x - level
    spread = float(np.sum((x - x.mean()) ** 2))
    alike = float(np.clip(np.sum(rest[1:] * rest[:-1]) / max(np.sum(rest**2), 1e-12), 0.0, 0.95))
    free = max(1.0, len(x) * (1 - alike) / (1 + alike) - 2)
    error = float(np.sqrt(np.sum(rest**2) / free / spread))
    reach = 1.96 * (1 + 2 / free) * error  # Student's t, within 3 % from four degrees of freedom on
    counted = after[-1] - after[skip]
    return Trend(name, y[0], y[-1], max(memory), slope, slope - reach, slope + reach, counted)


def run(requests: int, rounds: int, concurrency: int, day_s: float) -> Seen:
    seen = Seen()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, port = Path(name), free_port()
        flags = {**FLAGS, "engine.standby": "false", "jobs.day_s": day_s}
        first = {"folder": name, "port": port, "flags": flags}
        miner = stack.enter_context(ours("harness.daemon", folder / "daemon.log", first))
        client = stack.enter_context(ours("harness.load", folder / "load.log"))
        wait_until_it_answers(client, Server("ours", miner.pid, port, pausable=False))
        child = child_of(miner)
        start = time.perf_counter()
        sent = 0
        for number in range(rounds):
            count = requests * (number + 1) // rounds - sent
            told = {"port": port, "concurrency": concurrency, "seconds": 600.0, "most": count}
            client.ask({**told, "fresh": True})
            outcome: dict[str, Any] = client.ask({}, patience_s=700.0)
            seen.statuses = dict(Counter(seen.statuses) + Counter(outcome["statuses"]))
            sent += sum(outcome["statuses"].values())
            seen.after.append(sent)
            for who, pid in ((FRONT, miner.pid), (CHILD, child)):
                seen.memory[who].append(own_mb(pid))
                seen.resident[who] = max(seen.resident.get(who, 0.0), rss_mb(pid))
            if number % max(1, rounds // 10) == 0:
                print(f"{sent:9d} requests: {memory(seen)}", flush=True)
        seen.seconds = time.perf_counter() - start
    return seen


def own_mb(pid: int) -> float:
    """Resident memory that no file backs."""
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("RssAnon")) * 1024 / 1e6


def child_of(miner: Talk) -> int:
    """The engine's: whichever of its children is the largest."""
    return max(children(miner.pid), key=rss_mb)


def memory(seen: Seen) -> str:
    return ", ".join(f"{name} {levels[-1]:.1f} MB" for name, levels in seen.memory.items())


def show(each: Trend) -> None:
    print(
        f"{each.name}: {each.first:.1f} -> {each.last:.1f} MB (most {each.most:.1f}), {each.slope:+.2f} MB a "
        f"million requests [{each.low:+.2f} {each.high:+.2f}], over {each.requests}"
    )


def misses(seen: Seen, trends: list[Trend]) -> list[str]:
    found = [
        f"the {each.name} surely grew by {each.growth:.1f} MB (at most {GROWTH_MB:g})"
        for each in trends
        if each.growth > GROWTH_MB
    ]
    other = {status: count for status, count in seen.statuses.items() if status != "200"}
    return [*found, f"not every request was answered: {other}"] if other else found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20,000 requests")
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--day", type=float, default=86_400.0, help="seconds that a day of its jobs lasts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    given = parser.parse_args()
    requests, rounds = (20_000, 20) if given.quick else (given.requests, given.rounds)
    print(f"{os.cpu_count()} cores; load average {os.getloadavg()[0]:.1f}", flush=True)
    seen = run(requests, rounds, given.concurrency, given.day)
    trends = [trend(name, seen.after, levels) for name, levels in seen.memory.items()]
    print(f"{seen.after[-1]} requests in {seen.seconds:.0f} s: {seen.after[-1] / seen.seconds:.0f} a second")
    for each in trends:
        show(each)
    print("resident at most: " + ", ".join(f"{name} {mb:.0f} MB" for name, mb in seen.resident.items()))
    record = {**asdict(seen), "trends": [asdict(each) for each in trends]}
    return conclude(record, misses(seen, trends), file=given.json, check=given.check)


if __name__ == "__main__":
    sys.exit(main())

"""How large batches should be, on the virtual clock: the preferred size alone, beside what is served.

The preferred size (`miner.engine.forecast`) is the smallest with 97 % of the best images per second. What is
served goes beyond it once the measured arrivals come near what that can carry. A device that gains nothing,
a little and much by batching (--device A:B, milliseconds of a batch and of an image), at loads over its best
throughput, callers that do not know of each other, the same arrivals for both; means over seeds. No figure
here depends on the machine.

--bound A:B instead: p99 at 0.8 over the time of an image alone, as served and as nobody can do better who
judges in the order of arrival, even if he knew all arrivals beforehand (`harness.oracle`)."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.ending import conclude
from harness.oracle import percentile_s
from harness.queueing import Costs, Unit, poisson

from miner.engine import forecast

DEVICES = ("0:20", "2:20", "10:10", "20:5", "20:1")
LOADS = (0.3, 0.5, 0.8, 0.9, 0.95, 2.0)
WORSE, CARRIED = 1.2, 0.98
"""Most that any p95 may be worse, and least of the best throughput under overload."""


@dataclass(frozen=True, slots=True)
class Row:
    """p95 (ms) and answers over the best throughput, of the preferred size alone and as served."""

    a_ms: float
    b_ms: float
    load: float
    p95_preferred: float
    p95: float
    rate_preferred: float
    rate: float


@contextmanager
def preferred_alone() -> Iterator[None]:
    """No arrivals are so many that batches go beyond the preferred size."""
    was, forecast.BUSY = forecast.BUSY, float("inf")
    try:
        yield
    finally:
        forecast.BUSY = was


def measured(costs: Costs, load: float, count: int, seeds: int) -> tuple[float, float]:
    """p95 in ms, and answers a second over the best throughput."""
    best = costs.most / costs.batch(costs.most)
    seen = [Unit(costs, seed=n).run(poisson(load * best, count, seed=n)) for n in range(seeds)]
    rates = [each.rate(since=each.seconds / 4) / best for each in seen]
    return statistics.fmean(each.percentile(0.95) for each in seen), statistics.fmean(rates)


def costs_of(device: str) -> Costs:
    a_ms, b_ms = map(float, device.split(":"))
    return Costs(front=1e-6, refused=0.0, child=0.0, decode=0.0, a=a_ms / 1e3, b=b_ms / 1e3)


def bound(device: str, count: int, seeds: int, load: float = 0.8, q: float = 0.99) -> tuple[float, float]:
    """p99 as served and as it can be at best, over the time of an image alone; means over seeds."""
    costs = costs_of(device)
    best, alone = costs.most / costs.batch(costs.most), costs.batch(1)
    served, least = [], []
    for seed in range(seeds):
        arrivals = list(poisson(load * best, count, seed=seed))
        served.append(Unit(costs, seed=seed).run(arrivals).percentile(q) / 1e3 / alone)
        least.append(percentile_s([at for at, _ in arrivals], costs, q) / alone)
    return statistics.fmean(served), statistics.fmean(least)


def row(device: str, load: float, count: int, seeds: int) -> Row:
    costs = costs_of(device)
    with preferred_alone():
        p95_preferred, rate_preferred = measured(costs, load, count, seeds)
    p95, rate = measured(costs, load, count, seeds)
    return Row(1e3 * costs.a, 1e3 * costs.b, load, p95_preferred, p95, rate_preferred, rate)


def misses(rows: list[Row]) -> list[str]:
    found = []
    for each in rows:
        what = f"{each.a_ms:g}:{each.b_ms:g} at {each.load:g}"
        if each.p95 > WORSE * each.p95_preferred:
            found.append(f"p95 of {what} is {each.p95 / each.p95_preferred:.2f} times the preferred size's")
        if each.load > 1 and each.rate < CARRIED:
            found.append(f"{what} carries {each.rate:.3f} of the best (target: {CARRIED})")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two devices, three loads, one seed")
    parser.add_argument(
        "--device", action="append", metavar="A:B", help="milliseconds of a batch and an image"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument("--bound", metavar="A:B", help="what no policy can beat on this device, and no more")
    given = parser.parse_args()
    if given.bound:
        served, least = bound(given.bound, *((1500, 2) if given.quick else (6000, 5)))
        print(f"{given.bound} at 0.8: p99 {served:.2f} times an image alone as served, {least:.2f} at least")
        return conclude({"served": served, "least": least}, [], file=given.json, check=given.check)
    devices = given.device or (DEVICES[2:4] if given.quick else DEVICES)
    loads, count, seeds = ((0.5, 0.95, 2.0), 1500, 1) if given.quick else (LOADS, 3000, 3)
    print("a ms:b ms    load   p95 ms: preferred    served   over the best: preferred  served")
    rows = []
    for device in devices:
        for load in loads:
            each = row(device, load, count, seeds)
            rows.append(each)
            print(
                f"{device:10s} {load:6g} {each.p95_preferred:19.0f} {each.p95:9.0f} "
                f"{each.rate_preferred:26.3f} {each.rate:7.3f}",
                flush=True,
            )
    return conclude([asdict(each) for each in rows], misses(rows), file=given.json, check=given.check)


if __name__ == "__main__":
    sys.exit(main())

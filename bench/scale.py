"""The throughput twin: what 1 to 1000 devices and 1 to 10,000 hotkeys would carry, from costs measured here.

First what a challenge costs is measured, stage by stage (`costs`): the front's and the child's CPU with a
tier that costs nothing, decoding alone, the bare model by batch size. Then the miner itself is run with the
model at several loads, by callers who do not know of each other, and the twin (`harness.queueing`) is run on
the very same arrivals: how far apart they are is printed and checked. Only then fleets are reckoned.

One miner serves --per-front devices (1) and its part of the hotkeys, each asked --rate times a second.
`full at`: images a second at which the first stage of the fleet is full, and which it is. Devices are as fast
as the one measured here, and --faster times as fast. Prices of an hour are yours to give (--device-hour,
--host-hour: one host for each miner); without them hours are shown.

--costs FILE takes the costs from a --json of another machine instead, and checks nothing."""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness.bare import LIMITS
from harness.ending import conclude
from harness.load import percentiles
from harness.model import FLAGS, MOST, Stage, Subject, set_up
from harness.paced import poisson as drawn
from harness.process import Talk, children, cpu_s, ours, rss_mb
from harness.queueing import Costs, Fleet, Outcome, Unit, bottleneck, capacities, carried, line, poisson
from harness.stage import CHALLENGE_BYTES, jpeg
from wire import Server, free_port, wait_until_it_answers

from models.imaging.decode import decode

AGREE = {"answered/s": 0.05, "p50": 0.20, "p95": 0.30}
"""How far the twin may be from the miner, as a part of what was measured."""
CROSS = 0.05
"""And its simulation from its arithmetic, under overload."""
MORE_HOTKEYS = 32
SEED = 7
OVER = 3.0
"""Times the capacity at which refusals are measured."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Seconds of each measurement; the loads at which twin and miner are compared; arrivals of a cell of the
    table."""

    cost_s: float
    bare_s: float
    idle_s: float
    ramp_s: float
    row_s: float
    loads: tuple[float, ...]
    arrivals: int


FULL = Plan(
    cost_s=15.0, bare_s=15.0, idle_s=30.0, ramp_s=8.0, row_s=60.0, loads=(0.3, 0.6, 0.85), arrivals=6000
)
QUICK = Plan(cost_s=2.0, bare_s=2.0, idle_s=2.0, ramp_s=2.0, row_s=4.0, loads=(0.5,), arrivals=400)


@dataclass(frozen=True, slots=True)
class Compared:
    """At one load (over the capacity): what was measured, and what the twin says of the same arrivals.
    "p50" and "p95" in ms."""

    load: float
    asked_per_s: float
    measured: dict[str, float]
    simulated: dict[str, float]

    @property
    def apart(self) -> dict[str, float]:
        return {name: self.simulated[name] / was - 1 for name, was in self.measured.items() if name in AGREE}


@dataclass(frozen=True, slots=True)
class Cell:
    """One fleet. `full_at` images a second, by `stage`; `p99_ms` and `shed` (share) at the rate that its
    hotkeys are asked; per million images answered at that rate: hours of a device and of a host, and
    `best_hours` of a device where it is full. `mb` of the fullest front."""

    faster: float
    devices: int
    hotkeys: int
    fronts: int
    asked_per_s: float
    full_at: float
    stage: str
    p99_ms: float
    shed: float
    device_hours: float
    host_hours: float
    best_hours: float
    mb: float


# What a challenge costs


def front_costs(plan: Plan, folder: Path) -> Costs:
    """What has nothing to do with the model; the rest is 0."""
    front, child, single, front_mb, idle = trivial_costs(plan, folder / "one", 1)
    *_, more_mb, more_idle = trivial_costs(plan, folder / "more", MORE_HOTKEYS)
    each = MORE_HOTKEYS - 1
    return Costs(
        front=front,
        refused=0.0,
        child=child,
        decode=0.0,
        a=0.0,
        b=0.0,
        rest=max(0.0, single - front - child),
        most=MOST,
        hotkey_mb=max(0.0, (more_mb - front_mb) / each),
        hotkey_cpu=max(0.0, (more_idle - idle) / each),
        front_mb=front_mb,
    )


def with_model(plan: Plan, costs: Costs, stage: Stage) -> Costs:
    """And with the model of the stage: bare, then alone in the miner, then with three times too much."""
    found = stage.bare.rates(plan.bare_s)
    a, b = line({size: size / rate for size, rate in found.items()})
    costs = replace(costs, decode=stage.bare.prepare_s, a=a, b=b, spread=stage.bare.spread)
    beside = costs.front + costs.child + costs.decode + costs.batch(1)
    costs = replace(costs, rest=max(0.0, one_by_one(stage, plan.cost_s / 3) - beside))
    return replace(costs, refused=refused(stage, plan, costs, OVER * bottleneck(costs)[1]))


def trivial_costs(plan: Plan, folder: Path, hotkeys: int) -> tuple[float, float, float, float, float]:
    """CPU seconds a challenge of the front and of the child; seconds a challenge takes alone; resident MB of
    the front; CPU seconds a second it takes when nobody asks."""
    folder.mkdir()
    port = free_port()
    first = {"folder": str(folder), "port": port, "flags": FLAGS, "hotkeys": hotkeys}
    with (
        ours("harness.daemon", folder / "daemon.log", first) as miner,
        ours("harness.load", folder / "load.log") as client,
    ):
        wait_until_it_answers(client, Server("ours", miner.pid, port, pausable=False))
        time.sleep(1.0)
        idle = spent(miner, plan.idle_s)
        alone = asked(client, port, 1, plan.cost_s / 3)["ms"]["p50"] / 1e3
        told = {"port": port, "concurrency": 8, "seconds": plan.cost_s, "most": int(5000 * plan.cost_s)}
        client.ask(told)
        front, child = cpu_s(miner.pid), sum(map(cpu_s, children(miner.pid)))
        seen = client.ask({})
        time.sleep(0.6)  # the recorder writes its last batch
        count, length = seen["answered"], seen["seconds"]
        front = (cpu_s(miner.pid) - front - idle * length) / count
        child = (sum(map(cpu_s, children(miner.pid))) - child) / count
        return front, max(0.0, child - decoding_s()), alone, rss_mb(miner.pid), idle


def decoding_s(times: int = 50) -> float:
    """CPU seconds in which the trivial tier's child decodes one of the pictures that it was asked about."""
    data = jpeg(size=CHALLENGE_BYTES)
    start = time.process_time()
    for _ in range(times):
        decode(data, LIMITS, side=1)
    return (time.process_time() - start) / times


def asked(client: Talk, port: int, concurrency: int, seconds: float) -> dict[str, Any]:
    client.ask({"port": port, "concurrency": concurrency, "seconds": seconds, "most": int(3000 * seconds)})
    return client.ask({})


def spent(miner: Talk, seconds: float) -> float:
    before = cpu_s(miner.pid)
    time.sleep(seconds)
    return (cpu_s(miner.pid) - before) / seconds


def one_by_one(stage: Stage, seconds: float) -> float:
    """Median seconds of a challenge alone."""
    told = {"port": stage.port, "concurrency": 1, "seconds": seconds, "ramp_s": 1.0, "expected": {}}
    return float(stage.closed.ask(told)["ms"]["p50"]) / 1e3


def refused(stage: Stage, plan: Plan, costs: Costs, rate: float) -> float:
    """CPU seconds of the front for a refusal, under overload: what it takes beyond its answers, but never
    more than an answer, of which a refusal is the first part."""
    stage.paced.ask({"port": stage.port, "rate": rate, "seed": SEED})
    time.sleep(plan.ramp_s + 5.0)
    stage.paced.ask({"mark": "row"})
    before = cpu_s(stage.miner.pid)
    time.sleep(plan.ramp_s)
    taken = cpu_s(stage.miner.pid) - before
    stage.paced.ask({"mark": "rest"})
    seen = stage.paced.ask({"stop": True})["row"]
    beyond = taken - costs.front * len(seen["ms"])
    return min(costs.front, max(0.0, beyond) / max(1, seen["shed"] + seen["lost"]))


# The miner and its twin


def at_load(stage: Stage, plan: Plan, costs: Costs, load: float) -> Compared:
    """The ramp is asked of both and counts for neither."""
    rate, until = load * bottleneck(costs)[1], plan.ramp_s + plan.row_s
    stage.paced.ask({"port": stage.port, "rate": rate, "seed": SEED})
    time.sleep(plan.ramp_s)
    stage.paced.ask({"mark": "row"})
    start = time.perf_counter()
    time.sleep(plan.row_s)
    stage.paced.ask({"mark": "rest"})
    took = time.perf_counter() - start
    seen = stage.paced.ask({"stop": True})["row"]
    moments = list(itertools.takewhile(lambda at: at < until, drawn(rate, SEED)))
    twin = Unit(costs, seed=SEED).run((at, "0") for at in moments)
    times = percentiles([ms / 1e3 for ms in seen["ms"]])
    count = len(seen["ms"]) + seen["shed"] + seen["lost"]
    measured = {"answered/s": len(seen["ms"]) / took, "p50": times["p50"], "p95": times["p95"]}
    return Compared(
        load, count / took, measured, simulated(twin, plan.ramp_s, sum(at < plan.ramp_s for at in moments))
    )


def simulated(twin: Outcome, ramp_s: float, skip: int) -> dict[str, float]:
    times = percentiles([ms / 1e3 for ms in twin.ms[skip:]])
    return {"answered/s": twin.rate(since=ramp_s), "p50": times["p50"], "p95": times["p95"]}


def show_compared(row: Compared) -> None:
    parts = [
        f"{name} {row.measured[name]:.1f} / {row.simulated[name]:.1f} ({apart:+.0%})"
        for name, apart in row.apart.items()
    ]
    print(f"at {row.load:.2f} of capacity, measured / simulated: {', '.join(parts)}", flush=True)


# Fleets


def cell(costs: Costs, faster: float, fleet: Fleet, rate: float, arrivals: int) -> Cell:
    """What one fleet does when each hotkey is asked `rate` times a second."""
    quick = costs.faster(faster)
    hotkeys, fronts = fleet.unit_hotkeys, fleet.fronts
    per_front = min(fleet.per_front, fleet.devices)
    stage, most = bottleneck(quick, per_front, hotkeys)
    own = hotkeys * rate
    seen = Unit(quick, per_front, SEED).run(poisson(own, arrivals, hotkeys, SEED))
    answered_h = 3600 * own * fronts * (1 - seen.shed_share)
    return Cell(
        *(faster, fleet.devices, fleet.hotkeys, fronts, own * fronts, most * fronts, stage),
        *(seen.percentile(0.99), seen.shed_share),
        *(1e6 * fronts * per_front / answered_h, 1e6 * fronts / answered_h),
        1e6 * per_front / (3600 * most) if most else math.inf,
        costs.front_mb + hotkeys * costs.hotkey_mb,
    )


def show_cell(each: Cell, device_hour: float | None, host_hour: float | None) -> None:
    cost = f"{each.device_hours:8.2f} + {each.host_hours:8.2f} h (full: {each.best_hours:.2f})"
    if device_hour is not None and host_hour is not None:
        hosts = each.host_hours / each.device_hours * each.best_hours
        best = each.best_hours * device_hour + hosts * host_hour
        cost = f"{each.device_hours * device_hour + each.host_hours * host_hour:8.2f} (full: {best:.2f})"
    load = f"{each.asked_per_s:9.1f} {each.full_at:10.0f} {each.stage:12s}"
    print(
        f"{each.faster:6g} {each.devices:7d} {each.hotkeys:7d} {load} {each.p99_ms:9.1f} {each.shed:7.1%} "
        f"{each.mb:8.0f} {cost}"
    )


def show_costs(costs: Costs) -> None:
    stages = ", ".join(f"{name} {most:.0f}/s" for name, most in capacities(costs).items())
    print(
        f"front {costs.front * 1e3:.3f} ms an answer, {costs.refused * 1e3:.3f} ms a refusal; child "
        f"{costs.child * 1e3:.3f} ms; decoding {costs.decode * 1e3:.3f} ms; a batch of n "
        f"{costs.a * 1e3:.2f} + {costs.b * 1e3:.2f} n ms (spread {costs.spread:.2f}); alone "
        f"{costs.rest * 1e3:.2f} ms beside these; a hotkey {costs.hotkey_mb:.3f} MB and "
        f"{costs.hotkey_cpu * 1e3:.3f} ms CPU a second; one miner carries: {stages}",
        flush=True,
    )


def missed(rows: list[Compared], costs: Costs, seconds: float) -> list[str]:
    found = [
        f"{name} at {row.load:g} of capacity is {apart:+.0%} from the measured (at most {AGREE[name]:.0%})"
        for row in rows
        for name, apart in row.apart.items()
        if abs(apart) > AGREE[name]
    ]
    (_, most), twin = bottleneck(costs), carried(costs, seconds=seconds)
    print(f"under overload one miner carries {most:.1f}/s by arithmetic, {twin:.1f}/s by simulation")
    if abs(twin / most - 1) > CROSS:
        found.append(f"simulation and arithmetic are {twin / most - 1:+.0%} apart (at most {CROSS:.0%})")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under a minute: the steady model, one load")
    parser.add_argument(
        "--model", choices=("steady", "embedded"), help="(default: embedded; --quick: steady)"
    )
    parser.add_argument("--base-ms", type=float, default=20.0, help="of the steady model, a batch")
    parser.add_argument("--ms", type=float, default=2.0, help="of the steady model, an image")
    parser.add_argument("--costs", type=Path, metavar="FILE", help="a --json whose costs are taken")
    parser.add_argument("--rate", type=float, default=0.1, help="challenges a second of each hotkey")
    parser.add_argument("--per-front", type=int, default=1, help="devices of one miner")
    parser.add_argument("--faster", type=float, nargs="+", default=[1.0, 10.0, 100.0], help="devices so fast")
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--hotkeys", type=int, nargs="+", default=[1, 10, 100, 1000, 10_000])
    parser.add_argument("--device-hour", type=float, help="price of a device's hour")
    parser.add_argument("--host-hour", type=float, help="price of the hour of a miner's host without it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    given = parser.parse_args()
    plan = QUICK if given.quick else FULL
    cores = os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores - 1)))
    subject = Subject(given.model or ("steady" if given.quick else "embedded"), given.base_ms, given.ms)
    print(f"{subject.name}; {cores} cores; load average {os.getloadavg()[0]:.1f}", flush=True)
    rows: list[Compared] = []
    if given.costs:
        costs = Costs(**json.loads(given.costs.read_text())["costs"])
    else:
        with tempfile.TemporaryDirectory() as name:
            costs = front_costs(plan, Path(name))
            with ExitStack() as stack:
                stage = set_up(subject, stack, Path(name))
                costs = with_model(plan, costs, stage)
                for load in plan.loads:
                    rows.append(at_load(stage, plan, costs, load))
                    show_compared(rows[-1])
    show_costs(costs)
    wrong = missed(rows, costs, seconds=8.0 if given.quick else 20.0)
    print(
        "faster devices hotkeys   asked/s    full at stage           p99 ms    shed front MB "
        "a million images: devices + hosts"
    )
    cells = []
    for faster, devices, hotkeys in itertools.product(given.faster, given.devices, given.hotkeys):
        if devices > hotkeys * given.per_front:  # some would never be asked
            continue
        cells.append(cell(costs, faster, Fleet(devices, hotkeys, given.per_front), given.rate, plan.arrivals))
        show_cell(cells[-1], given.device_hour, given.host_hour)
    record = {
        "costs": asdict(costs),
        "subject": asdict(subject),
        "compared": [asdict(row) | {"apart": row.apart} for row in rows],
        "fleets": [asdict(each) for each in cells],
    }
    return conclude(record, wrong, file=given.json, check=given.check)


if __name__ == "__main__":
    sys.exit(main())

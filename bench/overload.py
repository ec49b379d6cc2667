"""A model at 80 % of its capacity, and asked for twice and five times as much as it can do.

The whole miner (ledger, request log, metrics, page) around one model: `steady` takes --base-ms (90) a batch
and --ms (3) an image and no CPU, as a model on a GPU would; `embedded` is the image classifier that comes
along, on the CPU. Capacity is the bare model's best rate over batch sizes, measured before and after in the
same run. 80 % is asked twice: at an even pace, and by callers who do not know of each other (poisson). Of
those a model that gains nothing by batching makes some wait several times its own time, whatever is done.

goodput: images answered a second over the capacity. late: answered after the miner's own deadline of 7.5 s.
lost: no prediction within 9 s. held: the longest that the front's event loop was held, from inside it, less
what it waited for a core (`harness.held`); gc: the longest of Python's garbage collections there."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.ending import conclude
from harness.load import percentiles
from harness.model import Stage, Subject, set_up

LOAD, TIMES = 0.8, (2.0, 5.0)
WORSE, GOODPUT, HELD_MS, LATE_MS = 3.0, 0.95, 20.0, 7500.0
SEED = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """Seconds: of the bare model; of callers one by one; of each 80 % row; until a queue is full; of each
    overload row."""

    bare_s: float
    single_s: float
    loaded_s: float
    ramp_s: float
    over_s: float


FULL = Plan(bare_s=10.0, single_s=10.0, loaded_s=40.0, ramp_s=10.0, over_s=40.0)
QUICK = Plan(bare_s=2.5, single_s=2.0, loaded_s=4.0, ramp_s=6.0, over_s=5.0)


@dataclass(frozen=True, slots=True)
class Row:
    """`load` asked over the capacity (0: one by one), `pace` even, poisson or closed; counts of challenges,
    `reasons` of the lost; `ms` percentiles of the answered; `goodput` over the capacity; `held` see
    `harness.held`."""

    load: float
    pace: str
    asked_per_s: float
    answered: int
    lost: int
    late: int
    shed: int
    reasons: dict[str, int]
    ms: dict[str, float]
    goodput: float
    held: dict[str, Any]


def single(stage: Stage, seconds: float, capacity: float) -> Row:
    told = {"port": stage.port, "concurrency": 1, "seconds": seconds, "ramp_s": 1.0, "expected": {}}
    seen = stage.closed.ask(told)
    outcomes, rate = seen["outcomes"], seen["per_s"]
    counts = (outcomes.get("answered", 0), outcomes.get("lost", 0), 0, outcomes.get("shed", 0))
    held = stage.miner.ask({})
    return Row(0.0, "closed", rate, *counts, seen["reasons"], seen["ms"], rate / capacity, held)


def loaded(stage: Stage, load: float, pace: str, ramp_s: float, seconds: float, capacity: float) -> Row:
    """One row; the queue fills during the ramp, which does not count."""
    rate = load * capacity
    asked = {"port": stage.port, "rate": rate, **({"seed": SEED} if pace == "poisson" else {})}
    stage.paced.ask(asked)
    time.sleep(ramp_s)
    stage.miner.ask({})
    stage.paced.ask({"mark": "row"})
    start = time.perf_counter()
    time.sleep(seconds)
    stage.paced.ask({"mark": "rest"})
    took = time.perf_counter() - start
    held = stage.miner.ask({})
    seen = stage.paced.ask({"stop": True})["row"]
    answered, late = len(seen["ms"]), sum(ms > LATE_MS for ms in seen["ms"])
    count = answered + seen["lost"] + seen["shed"]
    ms = percentiles([ms / 1e3 for ms in seen["ms"]])
    return Row(
        *(load, pace, count / took, answered, seen["lost"], late, seen["shed"], seen["reasons"]),
        *(ms, (answered - late) / took / capacity, held),
    )


def run(subject: Subject, plan: Plan) -> tuple[float, list[Row]]:
    """The capacity, and the rows."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        stage = set_up(subject, stack, Path(name), watched=True)
        before = stage.bare.rates(plan.bare_s)
        best = max(before, key=before.__getitem__)
        capacity = before[best]
        single(stage, 1.0, capacity)  # the start has held the loop, and is no part of this
        rows = [single(stage, plan.single_s, capacity)]
        show(rows[-1])
        for load, pace in ((LOAD, "even"), (LOAD, "poisson"), *((times, "even") for times in TIMES)):
            over = load > 1
            seconds = plan.over_s if over else plan.loaded_s
            rows.append(loaded(stage, load, pace, plan.ramp_s if over else 1.0, seconds, capacity))
            show(rows[-1])
        after = stage.bare.rates(plan.bare_s / len(before), [best])[best]
        print(f"bare model: {capacity:.1f} images/s before, {after:.1f} after, in batches of {best}")
        return capacity, rows


def show(row: Row) -> None:
    what = "one by one" if not row.load else f"{row.load:.1f} x {row.pace}"
    times = " ".join(f"{row.ms[name]:8.1f}" for name in ("p50", "p95", "p99"))
    counts = f"{row.answered:9d} {row.shed:7d} {row.late:5d} {row.lost:5d}"
    seen = row.held
    held = f"{seen['held_ms']:7.1f} {seen['late_ms']:7.1f} {seen['long']:5d} {seen['gc_ms']:6.1f}"
    print(f"{what:14s} {row.asked_per_s:8.1f} {times} {counts} {row.goodput:8.3f} {held}", flush=True)
    if row.reasons:
        print(f"{'':14s} lost: {row.reasons}")
    for place in row.held["where"] if row.held["long"] else ():
        print(f"{'':14s} held at {place}")


def misses(rows: list[Row], subject: Subject) -> list[str]:
    alone = next(row.ms["p50"] for row in rows if not row.load)
    found = []
    for row in rows:
        what = f"{row.load:g} x ({row.pace})"
        if row.lost or row.late:
            found.append(f"{row.lost} lost and {row.late} late at {what} (target: 0)")
        if 0 < row.load < 1 and row.ms["p99"] > WORSE * alone:
            ratio = row.ms["p99"] / alone
            found.append(f"p99 at {what} is {ratio:.1f} times a single request (target: {WORSE:g})")
        if row.load > 1 and row.goodput < GOODPUT:
            found.append(f"goodput at {what} is {row.goodput:.3f} (target: {GOODPUT})")
        if row.held["long"]:
            longest = row.held["held_ms"]
            found.append(f"the loop was held for {longest:.0f} ms at {what} (target: {HELD_MS:.0f})")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--model", choices=("steady", "embedded"), default="steady")
    parser.add_argument("--base-ms", type=float, default=90.0, help="of the steady model, a batch")
    parser.add_argument("--ms", type=float, default=3.0, help="of the steady model, an image")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    given = parser.parse_args()
    cores = os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores - 1)))
    subject = Subject(given.model, given.base_ms, given.ms)
    print(f"{subject.name}; {cores} cores; load average {os.getloadavg()[0]:.1f}")
    times = " ".join(f"{name:>8s}" for name in ("p50 ms", "p95", "p99"))
    counts = f"{'answered':>9s} {'shed':>7s} {'late':>5s} {'lost':>5s}"
    print(f"{'load':14s} {'asked/s':>8s} {times} {counts}  goodput    held    late  >20  gc ms", flush=True)
    capacity, rows = run(subject, QUICK if given.quick else FULL)
    record = {"subject": asdict(subject), "capacity": capacity, "rows": [asdict(row) for row in rows]}
    return conclude(record, misses(rows, subject), file=given.json, check=given.check)


if __name__ == "__main__":
    sys.exit(main())

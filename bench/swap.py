"""Swaps under 80 % load: nobody is lost, nobody late, and hardly anybody waits longer.

Two versions of one model take each other's place, over and over, each time loaded in a second child, shown
the golden set and 5 live challenges, exchanged, drained. --model says which: `steady` takes --ms (20) an
image and no CPU, as a model on a GPU would; `vit` is a ViT-Ti/16 with random weights on the CPU, `embedded`
what comes along. Forced: no labels, so no gate. Capacity is measured first, by callers who ask again at once;
then 0.8 of it is asked at an even pace. Each swap is followed by some seconds without one, so that whatever
else the machine does meets both. 200 swaps take some 20 minutes where nobody else wants the CPU. (That a kill
at any step leaves a working champion is tested in tests/miner/swap/test_swap_killed.py, step by step.)

lost: no prediction within 9 s; shed: told at once that there is no time; late: later than 7.5 s. Memory is
that of front and child at the end of each pause: the median of the first tenth against that of the last."""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.load import percentiles
from harness.process import Talk, ours
from serve import TINY, write_images, write_model

from models.weights import DEFAULT

LOAD = 0.8
LATE_MS = 7500.0
WORSE = 2.0
GROWTH = 0.02
SWAP_S = 600.0
"""Patience with one swap: loading steps back behind everybody else on the machine."""
DURING, WITHOUT = "during", "without"


@dataclass(frozen=True, slots=True)
class Plan:
    """`swaps`, or as many as begin within `most_s` seconds, after `settle` that do not count; `calm_s`
    seconds after each; `shadow` live challenges a candidate is shown; `ms` the steady model takes."""

    swaps: int
    most_s: float = math.inf
    settle: int = 2
    calm_s: float = 2.0
    shadow: int = 5
    ms: float = 20.0


@dataclass(slots=True)
class Result:
    """`counts`, `ms` by phase: answered, lost, shed, late; p50, p95, p99. Memory in 10^6 bytes."""

    model: str
    swaps: int
    done: int
    per_s: float
    seconds: float
    counts: dict[str, dict[str, int]]
    ms: dict[str, dict[str, float]]
    memory_before: float
    memory_after: float
    failures: list[str]

    @property
    def worse(self) -> float:
        """p99 during swaps over the p99 without."""
        return self.ms[DURING]["p99"] / self.ms[WITHOUT]["p99"]

    def count(self, kind: str) -> int:
        return sum(found[kind] for found in self.counts.values())

    @property
    def growth(self) -> float:
        return self.memory_after / self.memory_before - 1


def write_versions(folder: Path, model: str) -> list[str]:
    """Two that differ in next to nothing."""
    first, second = folder / "first", folder / "second"
    if model == "vit":
        write_model(first, TINY)
    else:
        first.mkdir()
        for name in ("config.json", "preprocessor_config.json", "calibration.json", "model.safetensors"):
            shutil.copy(DEFAULT / name, first / name)
    shutil.copytree(first, second)
    options = {"label": "second"} if model == "steady" else {"temperature": 1.01}
    (second / "manifest.json").write_text(json.dumps({"options": options}))
    return [str(first), str(second)]


def run(plan: Plan, model: str, threads: int) -> Result:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder / "images")
        first = {"models": write_versions(folder, model), "data": name, "threads": threads}
        first |= {"tier": "steady" if model == "steady" else "classifier", "shadow": plan.shadow}
        first |= {"ms": plan.ms} if model == "steady" else {}
        images = {"images": str(folder / "images")}
        with (
            ours("harness.swapped", folder / "server.log", first) as server,
            ours("harness.closed", folder / "closed.log", images) as closed,
            ours("harness.paced", folder / "paced.log", images) as paced,
        ):
            rate = LOAD * capacity(closed, server.greeting["port"])
            return loaded(plan, model, rate, server, paced)


def capacity(closed: Talk, port: int) -> float:
    """Images per second that callers who ask again at once get."""
    told = {"port": port, "concurrency": 8, "seconds": 8.0, "ramp_s": 2.0, "expected": {}}
    return float(closed.ask(told)["answered"]) / 8.0


def loaded(plan: Plan, model: str, rate: float, server: Talk, paced: Talk) -> Result:
    versions = server.greeting["versions"]
    paced.ask({"port": server.greeting["port"], "rate": rate})
    for n in range(plan.settle):
        swap(server, versions, n)
    start = time.perf_counter()
    reports, memories = [], []
    for n in range(plan.settle, plan.settle + plan.swaps):
        if time.perf_counter() - start > plan.most_s:
            break
        paced.ask({"mark": DURING})
        reports.append(swap(server, versions, n))
        paced.ask({"mark": WITHOUT})
        time.sleep(plan.calm_s)
        memories.append(float(server.ask({"memory": True})["mb"]))
        print(f"swap {len(reports)}: {reports[-1]['seconds']:.1f} s, {memories[-1]:.0f} MB", flush=True)
    seconds = time.perf_counter() - start
    seen = paced.ask({"stop": True})
    return result(plan, model, rate, seconds, reports, seen, memories)


def swap(server: Talk, versions: list[str], n: int) -> dict[str, Any]:
    return server.ask({"swap": versions[1 - n % 2]}, SWAP_S)


def result(
    plan: Plan,
    model: str,
    rate: float,
    seconds: float,
    reports: list[dict[str, Any]],
    seen: dict[str, Any],
    memories: list[float],
) -> Result:
    few = max(1, len(memories) // 10)
    phases = {name: seen[name] for name in (DURING, WITHOUT)}
    return Result(
        model=model,
        swaps=len(reports),
        done=sum(report["outcome"] == "promoted" for report in reports),
        per_s=rate,
        seconds=seconds,
        counts={name: counted(found) for name, found in phases.items()},
        ms={name: percentiles([ms / 1e3 for ms in found["ms"]]) for name, found in phases.items()},
        memory_before=statistics.median(memories[:few]),
        memory_after=statistics.median(memories[-few:]),
        failures=[report["why"] for report in reports if report["why"]],
    )


def counted(found: dict[str, Any]) -> dict[str, int]:
    late = sum(ms > LATE_MS for ms in found["ms"])
    return {"answered": len(found["ms"]), "lost": found["lost"], "shed": found["shed"], "late": late}


def missed(found: Result) -> list[str]:
    checks = (
        (found.done < found.swaps, f"{found.swaps - found.done} swaps failed: {found.failures[:3]}"),
        (found.count("lost") > 0, f"{found.count('lost')} lost (target: 0)"),
        (found.count("shed") > 0, f"{found.count('shed')} refused (target: 0)"),
        (found.count("late") > 0, f"{found.count('late')} late (target: 0)"),
        (
            found.worse > WORSE,
            f"p99 during swaps is {found.worse:.2f} times that without (target: {WORSE:g})",
        ),
        (
            abs(found.growth) > GROWTH,
            f"memory changed by {100 * found.growth:+.1f} % (target: {100 * GROWTH:g} %)",
        ),
    )
    return [sentence for wrong, sentence in checks if wrong]


def show(found: Result) -> None:
    took = f"{found.done} of {found.swaps} swaps in {found.seconds:.0f} s"
    print(f"{found.model}, {found.per_s:.1f} challenges a second: {took}")
    for name in (DURING, WITHOUT):
        counts = ", ".join(f"{count} {kind}" for kind, count in found.counts[name].items())
        print(f"{name:8s}", "  ".join(f"{key} {ms:6.0f} ms" for key, ms in found.ms[name].items()), counts)
    print(f"p99 x {found.worse:.2f}; memory {found.memory_before:.0f} -> {found.memory_after:.0f} MB")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two swaps")
    parser.add_argument("--swaps", type=int, metavar="N", help="so many swaps")
    parser.add_argument("--minutes", type=float, default=math.inf, help="none begins after so many minutes")
    parser.add_argument("--model", choices=("steady", "vit", "embedded"), default="steady")
    parser.add_argument("--ms", type=float, default=20.0, help="milliseconds an image of the steady model")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    arguments = parser.parse_args()
    full = Plan(arguments.swaps or 200, arguments.minutes * 60, ms=arguments.ms)
    plan = Plan(2, settle=1, calm_s=8.0, ms=arguments.ms) if arguments.quick else full
    cores = os.cpu_count() or 1
    threads = max(1, cores - 1)
    print(f"{threads} of {cores} cores for the model; load average {os.getloadavg()[0]:.1f}", flush=True)
    found = run(plan, arguments.model, threads)
    show(found)
    if arguments.json:
        more = {"worse": found.worse, "growth": found.growth, "threads": threads}
        arguments.json.write_text(json.dumps(asdict(found) | more, indent=1))
    wrong = missed(found)
    print("\n".join(f"MISSED: {line}" for line in wrong) or "all targets met")
    return int(arguments.check and bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

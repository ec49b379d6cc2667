"""Swaps of the classifier under 80 % load: nobody is lost, nobody late, and hardly anybody waits longer.

A ViT-Ti/16 with random weights (--embedded: the embedded classifier) in two versions that take each other's
place, over and over, each time loaded in a second child, shown the golden set and live challenges, exchanged,
drained. Forced: no labels, so no gate. Capacity is measured first, by callers who ask again at once; then
0.8 of it is asked at an even pace: half a minute or more without swaps, then through all of them, then again
without.

lost: no prediction within 9 s; late: later than 7.5 s. Memory is that of front and child."""

from __future__ import annotations

import argparse
import json
import os
import shutil
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
BEFORE, DURING, AFTER = "before", "during", "after"


@dataclass(frozen=True, slots=True)
class Plan:
    """`swaps` under load after `settle` without; `calm_s` seconds without swaps on each side; `shadow` live
    challenges a candidate is shown."""

    swaps: int
    settle: int = 2
    calm_s: float = 40.0
    shadow: int = 10


@dataclass(slots=True)
class Result:
    """`ms` by phase: p50, p95, p99; memory in 10^6 bytes."""

    model: str
    swaps: int
    done: int
    per_s: float
    seconds: float
    asked: int
    lost: int
    shed: int
    late: int
    ms: dict[str, dict[str, float]]
    memory_before: float
    memory_after: float
    failures: list[str]

    @property
    def worse(self) -> float:
        """p99 during swaps over the p99 without, before and after together."""
        return self.ms[DURING]["p99"] / self.ms["without"]["p99"]

    @property
    def growth(self) -> float:
        return self.memory_after / self.memory_before - 1


def write_versions(folder: Path, embedded: bool) -> list[str]:
    """Two that differ in a calibration that changes next to nothing."""
    first, second = folder / "first", folder / "second"
    if embedded:
        names = ("config.json", "preprocessor_config.json", "calibration.json", "model.safetensors")
        first.mkdir()
        for name in names:
            shutil.copy(DEFAULT / name, first / name)
    else:
        write_model(first, TINY)
    shutil.copytree(first, second)
    facts = {"options": {"temperature": 1.01}}
    (second / "manifest.json").write_text(json.dumps(facts))
    return [str(first), str(second)]


def run(plan: Plan, embedded: bool, threads: int) -> Result:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder / "images")
        first = {"models": write_versions(folder, embedded), "data": name, "threads": threads}
        images = {"images": str(folder / "images")}
        with (
            ours("harness.swapped", folder / "server.log", {**first, "shadow": plan.shadow}) as server,
            ours("harness.closed", folder / "closed.log", images) as closed,
            ours("harness.paced", folder / "paced.log", images) as paced,
        ):
            rate = LOAD * capacity(closed, server.greeting["port"])
            return loaded(plan, "embedded" if embedded else "ViT-Ti/16", rate, server, paced)


def capacity(closed: Talk, port: int) -> float:
    """Images per second that callers who ask again at once get."""
    told = {"port": port, "concurrency": 8, "seconds": 8.0, "ramp_s": 2.0, "expected": {}}
    return float(closed.ask(told)["answered"]) / 8.0


def loaded(plan: Plan, model: str, rate: float, server: Talk, paced: Talk) -> Result:
    versions = server.greeting["versions"]
    paced.ask({"port": server.greeting["port"], "rate": rate})
    for n in range(plan.settle):
        swap(server, versions, n)
    calm(paced, BEFORE, plan.calm_s)
    memory_before = memory(server)
    start = time.perf_counter()
    paced.ask({"mark": DURING})
    reports = []
    for n in range(plan.settle, plan.settle + plan.swaps):
        reports.append(swap(server, versions, n))
        print(f"swap {len(reports)}: {reports[-1]['outcome']} in {reports[-1]['seconds']:.1f} s", flush=True)
    seconds = time.perf_counter() - start
    calm(paced, AFTER, plan.calm_s)
    memories = memory_before, memory(server)
    seen = paced.ask({"stop": True})
    return result(plan, model, rate, seconds, reports, seen, memories)


def swap(server: Talk, versions: list[str], n: int) -> dict[str, Any]:
    return server.ask({"swap": versions[1 - n % 2]}, SWAP_S)


def calm(paced: Talk, mark: str, seconds: float) -> None:
    paced.ask({"mark": mark})
    time.sleep(seconds)


def memory(server: Talk) -> float:
    """Of whoever is left, some seconds after the last swap."""
    return float(server.ask({"memory": True})["mb"])


def result(
    plan: Plan,
    model: str,
    rate: float,
    seconds: float,
    reports: list[dict[str, Any]],
    seen: dict[str, Any],
    memories: tuple[float, float],
) -> Result:
    phases = {name: found["ms"] for name, found in seen.items() if name}
    phases["without"] = phases[BEFORE] + phases[AFTER]
    total = [ms for found in seen.values() for ms in found["ms"]]
    lost, shed = (sum(found[kind] for found in seen.values()) for kind in ("lost", "shed"))
    return Result(
        model=model,
        swaps=plan.swaps,
        done=sum(report["outcome"] == "promoted" for report in reports),
        per_s=rate,
        seconds=seconds,
        asked=len(total) + lost + shed,
        lost=lost,
        shed=shed,
        late=sum(ms > LATE_MS for ms in total),
        ms={name: percentiles([ms / 1e3 for ms in found]) for name, found in phases.items()},
        memory_before=memories[0],
        memory_after=memories[1],
        failures=[report["why"] for report in reports if report["why"]],
    )


def missed(found: Result) -> list[str]:
    checks = (
        (found.done < found.swaps, f"{found.swaps - found.done} swaps failed: {found.failures[:3]}"),
        (found.lost + found.shed > 0, f"{found.lost} lost and {found.shed} refused (target: 0)"),
        (found.late > 0, f"{found.late} late (target: 0)"),
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
    print(f"asked {found.asked}, lost {found.lost}, refused {found.shed}, late {found.late}")
    for name in (BEFORE, DURING, AFTER, "without"):
        figures = "  ".join(f"{key} {value:7.0f} ms" for key, value in found.ms[name].items())
        print(f"{name:8s} {figures}")
    print(f"p99 x {found.worse:.2f}; memory {found.memory_before:.0f} -> {found.memory_after:.0f} MB")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three swaps")
    parser.add_argument("--swaps", type=int, metavar="N", help="so many swaps")
    parser.add_argument("--embedded", action="store_true", help="the embedded classifier")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    arguments = parser.parse_args()
    plan = Plan(3, settle=1, calm_s=12.0, shadow=5) if arguments.quick else Plan(arguments.swaps or 200)
    cores = os.cpu_count() or 1
    threads = max(1, cores - 1)
    print(f"{threads} of {cores} cores for the model; load average {os.getloadavg()[0]:.1f}", flush=True)
    found = run(plan, arguments.embedded, threads)
    show(found)
    if arguments.json:
        more = {"worse": found.worse, "growth": found.growth, "threads": threads}
        arguments.json.write_text(json.dumps(asdict(found) | more, indent=1))
    wrong = missed(found)
    print("\n".join(f"MISSED: {line}" for line in wrong) or "all targets met")
    return int(arguments.check and bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

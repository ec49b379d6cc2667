"""The same ViT weights behind our wire and engine, and behind the reference miner's path, under the same
callers.

Random weights of a ViT-B/16 (ViT-Ti/16 with --quick); challenges are rendered scenes of 224 px. Callers wait
up to 9 s and ask again at once, or after a second when they were refused. The bare model's capacity is
measured before and after each round of ours, at the batch size that was best in a first measurement (the
best of several noisy ones would be too high), in a process of its own with as many threads. Every server is
started afresh for every round. Rates are taken from one batch's answers to another's.

lost: no prediction within 9 s. shed: refused at once with 503. goodput: images answered per second, beside
the bare model's capacity at that time."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from harness.process import Talk, ours
from transformers import ViTConfig, ViTForImageClassification
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from models.scenes import render

OURS, REFERENCE = "ours", "reference path"
MODULES = {OURS: "harness.served", REFERENCE: "harness.reference"}
GOODPUT = 0.95
BUSY = 8
"""From this concurrency on there is always a request waiting, so that throughput is the server's and not the
caller's."""

IMAGES = 24
SIZES = (1, 2, 4)
"""Batches of the bare model."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How thoroughly: `bare_s`, `ramp_s` and `seconds` of the parts of a round."""

    name: str
    vit: dict[str, int]
    concurrencies: tuple[int, ...]
    bare_s: float
    ramp_s: float
    seconds: float
    standby: bool


BASE = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
TINY = {"hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 12, "num_attention_heads": 3}
FULL = Plan("ViT-B/16", BASE, (1, 8, 32, 64), bare_s=12.0, ramp_s=4.0, seconds=36.0, standby=True)
QUICK = Plan("ViT-Ti/16", TINY, (8,), bare_s=2.0, ramp_s=1.0, seconds=6.0, standby=False)


@dataclass(frozen=True, slots=True)
class Row:
    """One round. `ratio` goodput over the bare model's capacity around it (None for the reference)."""

    server: str
    concurrency: int
    per_s: float
    p50: float
    p95: float
    answered: int
    lost: int
    shed: int
    wrong: int
    reasons: dict[str, int]
    bare_per_s: float | None
    ratio: float | None


def write_model(folder: Path, vit: dict[str, int]) -> None:
    torch.manual_seed(0)
    config = ViTConfig(**vit, id2label={0: "None", 1: "Roadwork"}, label2id={"None": 0, "Roadwork": 1})
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessorPil().save_pretrained(folder)


def write_images(folder: Path) -> None:
    folder.mkdir()
    for seed in range(IMAGES):
        render(seed, roadwork=seed % 2 == 0).resize((224, 224)).save(folder / f"{seed:03d}.jpg", quality=90)


def compare(plan: Plan, threads: int) -> Iterator[Row]:
    """A row per server and concurrency, as they are done."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder / "model", plan.vit)
        write_images(folder / "images")
        said = {"model": str(folder / "model"), "images": str(folder / "images")}
        with (
            ours("harness.bare", folder / "bare.log", said) as bare,
            ours("harness.closed", folder / "closed.log", said) as callers,
        ):
            rates = bare.ask({"seconds": 2 * plan.bare_s, "sizes": SIZES})["rates"]
            best = max(rates, key=rates.__getitem__)
            bare_for = {"seconds": plan.bare_s, "sizes": [int(best)]}
            for concurrency in plan.concurrencies:
                before = bare.ask(bare_for)["rates"][best]
                for server in MODULES:
                    result = measure(
                        server, callers, folder, plan, threads, concurrency, bare.greeting["predictions"]
                    )
                    after = bare.ask(bare_for)["rates"][best] if server == OURS else None
                    yield row(server, concurrency, result, (before + after) / 2 if after else None)


def measure(
    server: str,
    callers: Talk,
    folder: Path,
    plan: Plan,
    threads: int,
    concurrency: int,
    expected: dict[str, float],
) -> dict[str, Any]:
    """One round against a fresh server."""
    first = {"model": str(folder / "model"), "threads": threads, "standby": plan.standby}
    with ours(MODULES[server], folder / "server.log", first) as running:
        return callers.ask(
            {
                "port": running.greeting["port"],
                "concurrency": concurrency,
                "seconds": plan.seconds,
                "ramp_s": plan.ramp_s,
                "expected": expected,
            }
        )


def row(server: str, concurrency: int, result: dict[str, Any], bare: float | None) -> Row:
    outcomes, per_s = result["outcomes"], result["per_s"]
    return Row(
        server=server,
        concurrency=concurrency,
        per_s=per_s,
        p50=result["ms"]["p50"],
        p95=result["ms"]["p95"],
        answered=outcomes.get("answered", 0),
        lost=outcomes.get("lost", 0),
        shed=outcomes.get("shed", 0),
        wrong=result["wrong"],
        reasons=result["reasons"],
        bare_per_s=bare,
        ratio=per_s / bare if bare else None,
    )


def show(row: Row) -> None:
    speed = f"{row.per_s:9.2f} {row.p50:8.0f} {row.p95:8.0f}"
    counts = f"{row.answered:9d} {row.lost:6d} {row.shed:6d} {row.wrong:6d}"
    beside = f"{row.bare_per_s:9.2f} {row.ratio:8.3f}" if row.ratio is not None and row.bare_per_s else ""
    print(f"{row.server:15s} {row.concurrency:4d} {speed} {counts} {beside}", flush=True)


def failures(rows: list[Row]) -> Iterator[str]:
    mine = [row for row in rows if row.server == OURS]
    for row in mine:
        if row.lost:
            yield f"{row.lost} of ours lost at concurrency {row.concurrency} (target: 0)"
        if row.wrong:
            yield f"{row.wrong} answers at concurrency {row.concurrency} are not from the image that was sent"
    ratio = statistics.median(row.ratio for row in mine if row.ratio and row.concurrency >= BUSY)
    if ratio < GOODPUT:
        yield f"goodput is {ratio:.3f} of the bare model's capacity (target: {GOODPUT})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a small model and one short round: under a minute"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else FULL
    cores = os.cpu_count() or 1
    threads, load = max(1, cores - 1), os.getloadavg()[0]
    print(f"{plan.name}, random weights, {threads} of {cores} cores for the model; load average {load:.1f}")
    names = ("images/s", "p50 ms", "p95 ms", "answered", "lost", "shed", "wrong", "bare/s", "goodput")
    widths = (9, 8, 8, 9, 6, 6, 6, 9, 8)
    columns = (f"{name:>{width}s}" for name, width in zip(names, widths, strict=True))
    print(f"{'server':15s} conc", *columns)
    rows = []
    for done in compare(plan, threads):
        rows.append(done)
        show(done)
    if arguments.json:
        report = {
            "model": plan.name,
            "threads": threads,
            "load": load,
            "rows": [asdict(each) for each in rows],
        }
        arguments.json.write_text(json.dumps(report, indent=1))
    missed = list(failures(rows))
    print("\n".join(f"MISSED: {line}" for line in missed) or "all targets met")
    return int(arguments.check and bool(missed))


if __name__ == "__main__":
    sys.exit(main())

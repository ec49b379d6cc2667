"""Compression beside its controls: what is saved, and what that does to answers.

Tokens, cache bytes, FLOPs and milliseconds are of a Qwen2.5-VL scaled down, weights random, six views of 64
visual tokens each: milliseconds are CPU time of one thread, encoder and the method's own work included. MCC
and flips are of the small VLM on the validation split, single pictures (16 tokens) and composed scenes of
six, with intervals (95 %) by sequence, of which there are few. Downscaling is at equal tokens, as of a model
whose tokens follow the pixels: coarser grids for both. Where ../shared/data is not there, rendered
scenes take its place, and the report says so.

Cache methods leave the first token as it is: their MCC and flips are the dense ones by proof, and what they
do to longer answers is the share of reasons that stay word for word the same. A small network's reasons
(14 words at most) say little of a large one's."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from harness.compress_accuracy import Accuracy, Judged
from harness.compress_cost import Bench, Cost
from harness.ending import conclude

from models.compress import METHODS, plan
from models.core import MAX_VIEWS
from models.learn.cascade.figures import ranged
from models.learn.data import Example, read
from models.scenes import write_scenes

DATA = Path(__file__).parents[1].parent / "shared" / "data"
SHARES = (0.2, 0.5)
CONTROLS = ("random", "uniform", "downscale")
CACHES = (("nvfp4",), ("fp8",), ("int4",), ("purekv 0.2",), ("snapkv 0.2",), ("nvfp4", "purekv 0.2"))
TOGETHER = (("divprune 0.2", "nvfp4", "purekv 0.2"), ("pvc 0.2 merge=true", "nvfp4", "purekv 0.2"))
BATCHES, QUICK_BATCHES = (1, 8, 32), (1, 8)
SCENES, QUICK_SCENES, QUICK = 200, 24, 12
PACKED, BOTH = ("nvfp4",), ("nvfp4", "purekv 0.2")
NVFP4, FEWER = 3.5, 0.93
LEAST, FLIPS = 0.79, 0.01


@dataclass(frozen=True)
class Row:
    """One list of steps: what it costs and what it does to answers; `reasons` share that stay the same."""

    steps: tuple[str, ...]
    cost: Cost
    judged: dict[str, Judged]
    reasons: float | None

    @property
    def name(self) -> str:
        return " + ".join(self.steps) or "dense"


def lines(quick: bool) -> list[tuple[str, ...]]:
    """What is measured: caches, all together, then every token method at each share, the controls first."""
    tokens = [name for name, method in METHODS.items() if method.kind in ("image", "prune", "inside")]
    ordered = [*CONTROLS, *(name for name in tokens if name not in CONTROLS)]
    shares = SHARES[:1] if quick else SHARES
    alone = [(f"{name} {share:g}{more}",) for share in shares for name, more in _ways(ordered)]
    return [(), *CACHES, *TOGETHER, *alone]


def _ways(names: Sequence[str]) -> list[tuple[str, str]]:
    """Methods with their options: where merging is an option, with it and without."""
    merging = [(name, " merge=true") for name in names if name == "pvc"]
    return [*((name, "") for name in names), *merging]


def measure(
    accuracy: Accuracy, bench: Bench, chosen: Sequence[tuple[str, ...]], quick: bool
) -> Iterator[Row]:
    for steps in chosen:
        spoken = {step.method.kind for step in plan(steps)} & {"cache", "evict"}
        reasons = accuracy.same_reasons(steps, QUICK if quick else SCENES // 4) if spoken else None
        yield Row(steps, bench.measure(steps), accuracy.judge(steps), reasons)


def head(batches: Sequence[int]) -> str:
    times = " | ".join(f"ms, batch {batch}" for batch in batches)
    names = f"| steps | visual tokens | KV bytes | x fewer | GFLOP | {times} "
    names += "| MCC single | MCC six | flips six | reasons |"
    return names + "\n" + "|---" * (9 + len(batches)) + "|"


def line(row: Row, dense: Row) -> str:
    cost, single, six = row.cost, row.judged["single"], row.judged["six"]
    ms = " | ".join(f"{one:.1f}" for one in cost.ms)
    flips = f"{six.flips:.1%} [{six.flips_95[0]:.1%} {six.flips_95[1]:.1%}]"
    said = "" if row.reasons is None else f"{row.reasons:.0%} same"
    return (
        f"| {row.name} | {cost.tokens} | {cost.kv_bytes:,} | {dense.cost.kv_bytes / cost.kv_bytes:.2f} "
        f"| {cost.gflops:.2f} | {ms} | {ranged(single.mcc, single.mcc_95)} "
        f"| {ranged(six.mcc, six.mcc_95)} | {flips} | {said} |"
    )


def targets(rows: Sequence[Row]) -> list[tuple[bool, str]]:
    """The headline targets that these rows can tell: (met, sentence)."""
    dense, by = rows[0], {row.steps: row for row in rows}
    found = [_packed(dense, by[PACKED])] if PACKED in by else []
    found += [_both(dense, by[steps]) for steps in (BOTH, *TOGETHER) if steps in by]
    few = [row for row in rows if row.cost.tokens <= (1 - LEAST) * dense.cost.tokens and _throughout(row)]
    return [*found, _flips(dense, few)] if few else found


def _throughout(row: Row) -> bool:
    """Few tokens in every layer, in a plain cache: not so for steps that drop tokens on the way."""
    return row.reasons is None and all(step.method.kind != "inside" for step in plan(row.steps))


def _packed(dense: Row, row: Row) -> tuple[bool, str]:
    times = dense.cost.kv_bytes / row.cost.kv_bytes
    return times >= NVFP4, f"NVFP4 stores {times:.2f} times less than BF16 (target {NVFP4:g})"


def _both(dense: Row, row: Row) -> tuple[bool, str]:
    less = 1 - row.cost.kv_bytes / dense.cost.kv_bytes
    said = f"{row.name} store {less:.1%} less, {1 / (1 - less):.1f} times (target {FEWER:.0%})"
    return less >= FEWER, f"{said}; {row.reasons or 0:.0%} of reasons the same"


def _flips(dense: Row, few: Sequence[Row]) -> tuple[bool, str]:
    best = min(few, key=lambda row: row.judged["six"].flips)
    six, share = best.judged["six"], 1 - best.cost.tokens / dense.cost.tokens
    interval = f"[{six.flips_95[0]:.1%} {six.flips_95[1]:.1%}]"
    said = f"{share:.1%} fewer visual tokens on six views flip at the least {six.flips:.1%} {interval}"
    return six.flips_95[1] < FLIPS, f"{said} of answers ({best.name}; target: under {FLIPS:.0%})"


def examples(folder: Path, quick: bool, scratch: Path) -> tuple[str, list[Example]]:
    """What is measured on, and its name."""
    if (folder / "manifest.csv").is_file():
        found = read(folder, "val")
        return "real images", found[:: max(1, len(found) // QUICK)] if quick else found
    write_scenes(scratch, QUICK if quick else 60, seed=4_000_000_000)
    return f"rendered scenes, since {folder} is not there", read(scratch)


def main() -> int:
    options = parse(sys.argv[1:])
    torch.set_num_threads(1)
    batches = QUICK_BATCHES if options.quick else BATCHES
    with tempfile.TemporaryDirectory() as scratch:
        name, found = examples(options.data, options.quick, Path(scratch))
        accuracy = Accuracy(found, QUICK_SCENES if options.quick else SCENES)
    print(f"{name}: {len(found)} pictures of {len({each.sequence for each in found})} sequences\n")
    print(head(batches), flush=True)
    rows: list[Row] = []
    chosen = [(), *map(_split, options.steps)] if options.steps else lines(options.quick)
    bench = Bench(MAX_VIEWS, batches, rounds=1 if options.quick else 3)
    for row in measure(accuracy, bench, chosen, options.quick):
        rows.append(row)
        print(line(row, rows[0]), flush=True)
    told = targets(rows)
    print("\n" + "\n".join(f"{'met' if met else 'REFUTED'}: {sentence}" for met, sentence in told))
    misses = [sentence for met, sentence in told if not met]
    return conclude(as_json(name, rows, told), misses, file=options.json, check=options.check)


def _split(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.split(","))


def as_json(name: str, rows: Sequence[Row], told: Sequence[tuple[bool, str]]) -> dict[str, Any]:
    return {"data": name, "rows": [asdict(row) for row in rows], "targets": told}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few pictures, one share, under a minute")
    parser.add_argument("--steps", action="append", help="measure this list, as nvfp4,purekv 0.2; repeatable")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument("--data", type=Path, default=DATA, help="labelled images with a split val")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

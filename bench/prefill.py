"""What each step does to the time of a prefill: Qwen3-VL-8B's shape, random weights, one and six views.

On a GPU, in bfloat16: milliseconds a scene at batch 1 to 32 (median of rounds, encoder and the step's own
work included) and how many times faster that is than without any step on the same card. Steps that cannot run
are listed with the reason. One-word answers: nothing is generated.

Without a GPU the same rows are made on a model of a few thousand weights, which shows that they can be made;
its milliseconds say nothing about a GPU."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from harness.compress_cost import FULL, TOY, Size, network_of
from harness.ending import conclude
from torch import nn

from models.core import MAX_VIEWS
from models.vlm.inprocess.network import Network, Scene

CASES = (
    (),
    ("uniform 0.2",),
    ("random 0.2",),
    ("divprune 0.2",),
    ("visionzip 0.2",),
    ("evs 0.2",),
    ("pvc 0.2 merge=true",),
    ("luvc 0.2",),
    ("fastv 0.2",),
    ("luvc_stages 0.5",),
    ("nvfp4",),
    ("purekv 0.2",),
    ("purekv 0.2 before=true",),
    ("nvfp4", "purekv 0.2"),
    ("multiview",),
    ("flash",),
    ("flash version=2",),
)
VIEWS, BATCHES, ROUNDS = (1, MAX_VIEWS), (1, 8, 32), 5


@dataclass(frozen=True)
class Row:
    """`ms` a scene by batch, and `faster` than dense; `kept` visual tokens and `kv_bytes` of a scene; or why
    it was `refused`."""

    steps: str
    views: int
    ms: tuple[float, ...] = ()
    faster: tuple[float, ...] = ()
    kept: int = 0
    kv_bytes: int = 0
    refused: str = ""


class Here:
    """The device, and the model that fits it."""

    def __init__(self) -> None:
        self.gpu = torch.cuda.is_available()
        self.device = "cuda" if self.gpu else "cpu"
        self.name = torch.cuda.get_device_name() if self.gpu else "this CPU"
        self.size: Size = FULL if self.gpu else TOY
        self.dtype = torch.bfloat16 if self.gpu else torch.float32

    def scenes(self, views: int, count: int) -> list[Scene]:
        lot = torch.Generator().manual_seed(1)
        drawn = [[self.size.picture(lot) for _ in range(views)] for _ in range(count)]
        return [
            [{name: part.to(self.device) for name, part in one.items()} for one in scene] for scene in drawn
        ]

    def ms(self, network: Network, scenes: Sequence[Scene], rounds: int) -> float:
        """Of one scene."""
        took = []
        for _ in range(rounds + 1):
            self._settle()
            start = time.perf_counter()
            network.read(scenes)
            self._settle()
            took.append((time.perf_counter() - start) * 1e3 / len(scenes))
        return statistics.median(took[1:])  # the first one warms up

    def _settle(self) -> None:
        if self.gpu:
            torch.cuda.synchronize()


def measure(here: Here, model: nn.Module, views: int, batches: Sequence[int], rounds: int) -> Iterator[Row]:
    scenes = here.scenes(views, max(batches))
    dense: tuple[float, ...] = ()
    for steps in CASES:
        name = " + ".join(steps) or "dense"
        try:
            network = network_of(model, steps)
        except ValueError as error:
            yield Row(name, views, refused=str(error))
            continue
        (read,) = network.read(scenes[:1])
        ms = tuple(here.ms(network, scenes[:batch], rounds) for batch in batches)
        dense = dense or ms
        faster = tuple(was / now for was, now in zip(dense, ms, strict=True))
        yield Row(name, views, ms, faster, read.kept, read.kv_bytes)


def line(row: Row) -> str:
    if row.refused:
        return f"| {row.steps} | {row.views} | {row.refused} |"
    times = " | ".join(f"{ms:.1f} ({times:.2f} x)" for ms, times in zip(row.ms, row.faster, strict=True))
    return f"| {row.steps} | {row.views} | {row.kept} | {row.kv_bytes:,} | {times} |"


def main() -> int:
    options = _parse(sys.argv[1:])
    torch.set_num_threads(1)
    here = Here()
    batches = (1,) if options.quick or not here.gpu else BATCHES
    rounds = 1 if options.quick or not here.gpu else ROUNDS
    print(f"{here.name}, {here.size.family}\n")
    print(f"| steps | views | visual tokens | KV bytes | {' | '.join(f'ms, batch {b}' for b in batches)} |")
    print("|---" * (4 + len(batches)) + "|", flush=True)
    rows = []
    model = here.size.build(here.device, here.dtype)
    for views in VIEWS:
        for row in measure(here, model, views, batches, rounds):
            rows.append(row)
            print(line(row), flush=True)
    return conclude(as_json(here, rows), missed(here, rows), file=options.json, check=options.check)


def missed(here: Here, rows: Sequence[Row]) -> list[str]:
    """That a fifth of the visual tokens of six views is no faster at the largest batch, or that there is no
    GPU to tell."""
    if not here.gpu:
        return ["no GPU: this was a model of a few thousand weights, and its milliseconds say nothing"]
    few = next(row for row in rows if row.steps == "uniform 0.2" and row.views == MAX_VIEWS)
    said = f"a fifth of the visual tokens is {few.faster[-1]:.2f} times as fast as all of them"
    return [] if few.faster[-1] > 1 else [said]


def as_json(here: Here, rows: Sequence[Row]) -> dict[str, Any]:
    return {"device": here.name, "model": here.size.family, "rows": [asdict(row) for row in rows]}


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="batch 1 alone; what a CPU does in any case")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--check", action="store_true", help="exit 1 without a gain, or without a GPU")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

"""Attention by regions and along a Hilbert curve at the token counts that occur here: what can be saved?

empty    share of 128 x 128 blocks without an allowed pair: what a block-sparse kernel can skip, for windows
         of a 16th of the picture stored by row or along the curve
CPU ms   this thread's time of one attention of 6 heads, 64 wide: dense, along the curve (each token sees an
         eighth of the others, blocks of 128), by regions (2 of 16)
FLOPs    accounted, of attention by regions, routing included, as a share of the dense one's"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from models.compress import biformer, hilbert

BLOCK, HEADS, WIDTH = 128, 6, 64
REGIONS, TOP = 4, 2


@dataclass(frozen=True)
class Row:
    """`side` of the square grid; shares of empty blocks; ms of each attention; `flops` of the one by regions,
    of the dense one's."""

    side: int
    empty_rows: float
    empty_curve: float
    dense: float
    curve: float
    regions: float
    flops: float


def measure(side: int, rounds: int) -> Row:
    torch.manual_seed(0)
    tokens = side * side
    query, key, value = (torch.randn(1, HEADS, tokens, WIDTH) for _ in range(3))
    pattern = hilbert.Pattern("neighbours", tokens // 16)
    ways: dict[str, Callable[[], Tensor]] = {
        "dense": lambda: scaled_dot_product_attention(query, key, value),
        "curve": lambda: hilbert.attend(query, key, value, (side, side), pattern, block=BLOCK),
        "regions": lambda: biformer.attend(query, key, value, (side, side), REGIONS, TOP, WIDTH**-0.5),
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    with torch.inference_mode():
        for _ in range(rounds + 1):
            for name, way in ways.items():
                start = time.thread_time()
                way()
                spent[name].append(1e3 * (time.thread_time() - start))
    window = max(1, side // 4)
    stored = [
        hilbert.picture_windows(side, side, window, order) for order in (None, hilbert.curve(side, side))
    ]
    empty = [hilbert.empty_blocks(mask, BLOCK) for mask in stored]
    regions, dense = (biformer.flops(tokens, HEADS * WIDTH, *how) for how in ((REGIONS, TOP), (1, 1)))
    return Row(side, *empty, *(float(np.median(each[1:])) for each in spent.values()), regions / dense)


def show(rows: Sequence[Row]) -> None:
    print("| tokens | empty by row | along the curve | dense ms | along the curve | by regions | FLOPs |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row.side} x {row.side} | {row.empty_rows:.0%} | {row.empty_curve:.0%} | {row.dense:.2f} "
            f"| {row.curve:.2f} ({row.dense / row.curve:.1f} x) | {row.regions:.2f} "
            f"({row.dense / row.regions:.1f} x) | {row.flops:.0%} |"
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few rounds, under a minute")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--check", action="store_true", help="exit 1 when nothing is saved at 224 px")
    options = parser.parse_args()
    torch.set_num_threads(1)
    sides = (16, 24, 64)
    rows = [measure(side, 3 if options.quick or side == 64 else 15) for side in sides]
    show(rows)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")
    small = rows[0]
    if options.check and small.dense <= min(small.curve, small.regions):
        print("MISSED: at 16 x 16 tokens dense attention is the fastest")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

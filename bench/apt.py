"""Adaptive patches at 384 px: throughput of a ViT-S/16 and a ViT-B/16 with its own scoring counted.

Weights are random (there is no network here to fetch others), so this is about speed alone; what a retrofit
does to accuracy, `python -m models.learn.compression.apt` reports for a real checkpoint. Images are whole
frames of the validation split: how flat they are is what decides. Time is this thread's CPU time, in rounds
that alternate; ms: one image, scoring (histograms and quadtree) and embedding included.

overhead    thresholds of -1: nothing is merged, everything is computed
published   luma alone, 5.75 and 4.0 bits, a large flat cell swallows a small detailed one
ours        luma and chroma, 4.5 and 3.5 bits, strict
ours, lax   luma and chroma, 5.5 and 4.5 bits, strict
forced      ours, with base patches in the middle third of the height, as a horizon asks
by boxes    ours, with base patches where the region member sees something: a cascade has its boxes anyway, so
            their making is not counted"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import ViTConfig, ViTModel

from models.compress.apt.quadtree import forced_band, forced_by_boxes
from models.compress.apt.vit import Adaptive, AdaptiveViT
from models.learn.data import read
from models.regions import load_regions
from models.scenes import write_scenes

DATA = Path(__file__).parents[1].parent / "shared" / "data"
SIDE, PATCH = 384, 16
SIZES = {"ViT-S/16": (384, 1536, 12, 6), "ViT-B/16": (768, 3072, 12, 12)}
BAND, BOXES = "forced", "by boxes"
WAYS: dict[str, Adaptive] = {
    "overhead": Adaptive((-1.0, -1.0)),
    "published": Adaptive((5.75, 4.0), colour=False, strict=False),
    "ours": Adaptive(),
    "ours, lax": Adaptive((5.5, 4.5)),
    BAND: Adaptive(),
    BOXES: Adaptive(),
}
BATCHES = (1, 4)


@dataclass(frozen=True)
class Row:
    """`tokens` share of the 576; CPU `ms` an image and of it `scoring`; `gain` in images/s over plain."""

    model: str
    way: str
    batch: int
    tokens: float
    ms: float
    scoring: float
    gain: float


def build(size: tuple[int, int, int, int], layers: int | None) -> Any:
    width, inner, depth, heads = size
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers or depth,
        num_attention_heads=heads,
        image_size=SIDE,
        patch_size=PATCH,
    )
    return ViTModel(config, add_pooling_layer=False).train(False)


def images(folder: Path, count: int) -> tuple[str, Tensor, Tensor]:
    """uint8 (count, 3, 384, 384), and base patches (count, 24, 24) where the region member sees something."""
    with tempfile.TemporaryDirectory() as scratch:
        name, found = "real frames", []
        if (folder / "manifest.csv").is_file():
            found = read(folder, "val")
        else:
            name = f"rendered frames, since {folder} is not there"
            write_scenes(Path(scratch), count, seed=4_500_000_000)
            found = read(Path(scratch))
        picked = found[:: max(1, len(found) // count)][:count]
        frames = [each.load() for each in picked]
    arrays = [np.array(each.resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for each in frames]
    regions = load_regions(None, device="cpu")
    seen = [regions.evidence([regions.prepare(frame)])[0].boxes for frame in frames]
    edges = [
        [(SIDE * box.x0, SIDE * box.y0, SIDE * box.x1, SIDE * box.y1) for box in boxes] for boxes in seen
    ]
    pixels = torch.from_numpy(np.stack(arrays)).movedim(-1, 1)
    return name, pixels, forced_by_boxes(edges, (SIDE, SIDE), PATCH)


@torch.inference_mode()
def measure(name: str, plain: Any, pixels: Tensor, boxes: Tensor, batch: int, rounds: int) -> list[Row]:
    ways = {way: AdaptiveViT(plain, settings) for way, settings in WAYS.items()}
    forced = {BAND: forced_band(boxes.shape[1:], 1 / 3, 2 / 3).expand(len(pixels), -1, -1), BOXES: boxes}
    base: list[float] = []
    spent: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    tokens: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        at = number * batch % max(1, len(pixels) - batch + 1)
        part = pixels[at : at + batch]
        start = time.thread_time()
        plain(_normalised(part))
        base.append(time.thread_time() - start)
        for way, model in ways.items():
            start = time.thread_time()
            partition = model.partition(part, forced[way][at : at + batch] if way in forced else None)
            scored = time.thread_time()
            model(_normalised(part), partition)
            spent[way].append((time.thread_time() - start, scored - start))
            tokens[way].append(float(partition.counts().float().mean()) / (SIDE // PATCH) ** 2)
    dense = float(np.sum(base[1:]))  # the first round warms up
    rows = [Row(name, "plain", batch, 1.0, 1e3 * dense / (rounds * batch), 0.0, 0.0)]
    for way, found in spent.items():
        whole, scoring = np.array(found[1:]).sum(axis=0) / (rounds * batch)
        gain = dense / (rounds * batch) / whole - 1
        rows.append(Row(name, way, batch, float(np.mean(tokens[way][1:])), 1e3 * whole, 1e3 * scoring, gain))
    return rows


def _normalised(pixels: Tensor) -> Tensor:
    return pixels.float() / 127.5 - 1


def show(title: str, rows: Sequence[Row]) -> None:
    print(f"{title}, {SIDE} px\n\n| model | patches | batch | tokens | CPU ms | of it scoring | images/s |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row.model} | {row.way} | {row.batch} | {row.tokens:.0%} | {row.ms:.0f} | {row.scoring:.1f} "
            f"| {row.gain:+.0%} |"
        )


def main() -> int:
    options = _parse(sys.argv[1:])
    torch.set_num_threads(1)
    name, pixels, boxes = images(options.data, 8 if options.quick else 24)
    rows: list[Row] = []
    for model in ["ViT-S/16"] if options.quick else options.models:
        plain = build(SIZES[model], 4 if options.quick else None)
        for batch in BATCHES[: 1 if options.quick else None]:
            rounds = 3 if options.quick else max(2, options.images // batch)
            rows += measure(model, plain, pixels, boxes, batch, rounds)
    show(name, rows)
    if options.json:
        result = {"data": name, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    best = max((row for row in rows if row.way.startswith("ours")), key=lambda row: row.gain)
    if options.check and best.gain <= 0:
        print(f"MISSED: no gain, scoring counted; the best is {best.model}, {best.way}: {best.gain:+.0%}")
        return 1
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--quick", action="store_true", help="a shallow ViT-S, a few images, under a minute")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--check", action="store_true", help="exit 1 when there is no gain")
    parser.add_argument("--data", type=Path, default=DATA, help="labelled images with a split val")
    parser.add_argument("--models", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--images", type=int, default=12, help="images a row")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

"""Triton kernels: how fast against what the device could do, and beside PyTorch doing the same.

On a GPU: GB/s and TFLOP/s against the data sheet's bandwidth and dense BF16 peak, attention over a packed
NVFP4 cache beside scaled_dot_product_attention on BF16 keys at 2k to 32k tokens (32 query heads, 8 key heads
of 128, one query: a Qwen3-VL-8B decoding), attention over six views beside dense causal attention.

Without a GPU the same runs in Triton's interpreter at toy sizes: it shows that every row can be made, and
that kernels do what their references do. Its milliseconds are the interpreter's and say nothing about a
GPU."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from models.compress.caches import e2m1
from models.compress.segments import segments
from models.kernels import missing
from models.residency.gpus import GPU, GPUS

LENGTHS = (2048, 4096, 8192, 16384, 32768)
VIEWS = 6
BATCHES = (1, 8)
SHARE = 0.5
"""Least share of the bandwidth that packing and unpacking should reach."""


@dataclass(frozen=True)
class Sizes:
    """`tokens` of the cache packed whole; `lengths` attention is measured at; `view` tokens of each of six
    views; `side` of the square picture resized to 224, and of that scored in cells of 32."""

    heads: int
    groups: int
    width: int
    tokens: int
    lengths: tuple[int, ...]
    batches: tuple[int, ...]
    view: int
    side: int
    small: int


GPU_SIZES = Sizes(32, 8, 128, 32768, LENGTHS, BATCHES, 1024, 1024, 224)
TOY = Sizes(2, 1, 32, 16, (48,), (1,), 6, 32, 20)


@dataclass(frozen=True)
class Row:
    """`ms` of the kernel; `rate` in `unit` (GB/s or TFLOP/s), `bound` the device's in it (None: unknown);
    `beside` what else does the same and `beside_ms`; `apart` the largest difference from the reference."""

    kernel: str
    case: str
    ms: float
    rate: float
    unit: str
    bound: float | None
    beside: str
    beside_ms: float
    apart: float

    @property
    def share(self) -> float | None:
        return None if self.bound is None else self.rate / self.bound

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "share": self.share}


@dataclass(frozen=True)
class Device:
    """`known` its data sheet, None for a card that is not in our table, or a CPU."""

    name: str
    type: str
    known: GPU | None

    @classmethod
    def here(cls) -> Device:
        if not torch.cuda.is_available():
            return cls("this CPU, interpreted", "cpu", None)
        name = torch.cuda.get_device_name()
        fits = [gpu for gpu in GPUS.values() if gpu.name.split("-")[0] in name.replace(" ", "")]
        memory = torch.cuda.get_device_properties(0).total_memory
        return cls(name, "cuda", min(fits, key=lambda gpu: abs(gpu.memory - memory), default=None))

    @property
    def dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.type == "cuda" else torch.float32

    def bound(self, unit: str) -> float | None:
        if self.known is None:
            return None
        return self.known.bandwidth / 1e9 if unit == "GB/s" else self.known.bf16 / 1e12

    def time(self, work: Callable[[], Any]) -> float:
        """Milliseconds: the median on a GPU, with its cache flushed in between; one run interpreted."""
        if self.type == "cuda":
            from triton.testing import do_bench

            return float(do_bench(work, return_mode="median"))
        began = time.perf_counter()
        work()
        return 1000 * (time.perf_counter() - began)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, device=self.type, dtype=self.dtype)


def row(
    device: Device,
    kernel: str,
    case: str,
    amount: float,
    unit: str,
    ours: Any,
    beside: str,
    theirs: Any,
    exact: Any,
) -> Row:
    """`amount` bytes or FLOP of one run of `ours`; `exact` what it should give."""
    found = ours()
    apart = float((found.double() - exact().double()).abs().max())
    ms = device.time(ours)
    scale = 1e9 if unit == "GB/s" else 1e12
    rate = amount / scale / (ms / 1000)
    return Row(kernel, case, ms, rate, unit, device.bound(unit), beside, device.time(theirs), apart)


def packing(device: Device, sizes: Sizes) -> list[Row]:
    from models.kernels import nvfp4

    states = device.normal(1, sizes.groups, sizes.tokens, sizes.width)
    scale = e2m1.tensor_scale(states)
    codes, scales = e2m1.encode(states, scale)
    moved = states.numel() * states.element_size() + codes.numel() + scales.numel()
    case = f"{sizes.tokens} tokens"
    return [
        row(
            device, "nvfp4 pack", case, moved, "GB/s",
            lambda: nvfp4.pack(states, scale)[0], "PyTorch",
            lambda: e2m1.encode(states, scale), lambda: codes,
        ),
        row(
            device, "nvfp4 unpack", case, moved, "GB/s",
            lambda: nvfp4.unpack(codes, scales, scale, device.dtype), "PyTorch",
            lambda: e2m1.decode(codes, scales, scale, device.dtype),
            lambda: e2m1.decode(codes, scales, scale, device.dtype),
        ),
    ]  # fmt: skip


def decoding(device: Device, sizes: Sizes) -> list[Row]:
    from models.kernels import packed

    rows = []
    for batch in sizes.batches:
        for tokens in sizes.lengths:
            query = device.normal(batch, sizes.heads, 1, sizes.width)
            key, value = (device.normal(batch, sizes.groups, tokens, sizes.width) for _ in range(2))
            sides = [(*e2m1.encode(each, (g := e2m1.tensor_scale(each))), g) for each in (key, value)]
            moved = sum(part.numel() * part.element_size() for side in sides for part in side)
            rows.append(
                row(
                    device, "packed attention", f"batch {batch}, {tokens} tokens", moved, "GB/s",
                    lambda q=query, s=sides: packed.attend(q, *s), "SDPA on BF16",
                    lambda q=query, k=key, v=value: functional.scaled_dot_product_attention(
                        q, k, v, enable_gqa=True
                    ),
                    lambda q=query, s=sides: packed.reference(q, *s),
                )
            )  # fmt: skip
    return rows


def viewing(device: Device, sizes: Sizes) -> list[Row]:
    from models.kernels import multiview

    text = 64 if device.type == "cuda" else 8
    length = text + VIEWS * sizes.view + text
    visual = torch.arange(text, text + VIEWS * sizes.view, device=device.type)
    marks = segments(length, visual, (sizes.view,) * VIEWS)
    layout = multiview.plan(marks, multiview.TILE if device.type == "cuda" else 16)
    query = device.normal(1, sizes.heads, length, sizes.width)
    key, value = (device.normal(1, sizes.groups, length, sizes.width) for _ in range(2))
    work = 4 * int(layout.counts.sum()) * layout.side**2 * sizes.heads * sizes.width

    def dense() -> Tensor:
        return functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)

    return [
        row(
            device, "multi-view attention", f"{VIEWS} views of {sizes.view}", work, "TFLOP/s",
            lambda: multiview.attend(query, key, value, layout), "dense causal SDPA", dense,
            lambda: multiview.reference(query, key, value, marks),
        )
    ]  # fmt: skip


def seeing(device: Device, sizes: Sizes) -> list[Row]:
    from models.kernels import entropy, resize
    from models.kernels.check import BIAS, SCALE

    pixels = torch.randint(0, 256, (1, sizes.side, sizes.side, 3), dtype=torch.uint8, device=device.type)
    planar = pixels.permute(0, 3, 1, 2).contiguous()
    target = (sizes.small, sizes.small)

    def torch_resize() -> Tensor:
        return functional.interpolate(planar.float(), target, mode="bicubic", antialias=True)

    return [
        row(
            device, "patch entropy", f"{sizes.side} px, cells of 32", pixels.numel() * 3, "GB/s",
            lambda: entropy.entropies(planar, 32), "PyTorch",
            lambda: entropy.reference(planar, 32), lambda: entropy.reference(planar, 32),
        ),
        row(
            device, "resize and normalise", f"{sizes.side} to {sizes.small} px",
            pixels.numel() + 3 * sizes.small**2 * 4, "GB/s",
            lambda: resize.resize(pixels, target, SCALE, BIAS), "torch, antialiased", torch_resize,
            lambda: resize.reference(pixels, target, SCALE, BIAS),
        ),
    ]  # fmt: skip


def allowed(row: Row, device: Device) -> float:
    """How far a kernel may be from its reference: bytes none; sums in BF16 a hundredth; entropies a few
    pixels that fall into the next bin."""
    if row.kernel == "nvfp4 pack":
        return 0.0
    if row.kernel == "patch entropy":
        return 0.05
    return 3e-2 if device.type == "cuda" else 1e-4


def missed(rows: Sequence[Row], device: Device) -> list[str]:
    wrong = [
        f"{each.kernel} ({each.case}) is {each.apart:.2g} from its reference"
        for each in rows
        if each.apart > allowed(each, device)
    ]
    slow = [
        f"{each.kernel} reaches {each.share:.0%} of the bandwidth"
        for each in rows
        if each.kernel.startswith("nvfp4") and each.share is not None and each.share < SHARE
    ]
    return wrong + slow


def show(rows: Sequence[Row], device: Device) -> None:
    print(f"{device.name}\n")
    head = f"{'kernel':22}{'case':28}{'ms':>10}{'rate':>12}{'':9}{'of bound':>9}"
    print(f"{head}{'beside':>22}{'ms':>10}{'apart':>10}")
    for each in rows:
        share = "" if each.share is None else f"{each.share:.0%}"
        print(
            f"{each.kernel:22}{each.case:28}{each.ms:10.3f}{each.rate:12.3g} {each.unit:8}{share:>9}"
            f"{each.beside:>22}{each.beside_ms:10.3f}{each.apart:10.2g}"
        )
    if device.type == "cpu":
        print("\nInterpreted at toy sizes: the milliseconds say nothing about a GPU.")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer lengths; what a CPU does in any case")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    asked = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        os.environ["TRITON_INTERPRET"] = "1"
    device = Device.here()
    if reason := missing(device.type):
        print(f"{reason}.")
        return 2
    sizes = TOY if device.type == "cpu" else GPU_SIZES
    if asked.quick and device.type == "cuda":
        sizes = Sizes(**{**asdict(sizes), "lengths": LENGTHS[::4], "batches": BATCHES[:1]})
    torch.manual_seed(0)
    rows = [each for part in (packing, decoding, viewing, seeing) for each in part(device, sizes)]
    show(rows, device)
    if asked.json:
        asked.json.write_text(
            json.dumps({"device": device.name, "rows": [each.to_json() for each in rows]}, indent=1)
        )
    failures = missed(rows, device)
    for each in failures:
        print(f"missed: {each}")
    return 1 if asked.check and failures else 0


if __name__ == "__main__":
    sys.exit(main())

"""Every kernel beside its reference, on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from models.compress.caches import e2m1
from models.compress.segments import segments
from models.kernels import entropy, interpreted, multiview, nvfp4, packed, resize

SCALE, BIAS = (0.0171, 0.0175, 0.0174), (-2.118, -2.036, -1.804)


@dataclass(frozen=True)
class Compared:
    """`apart`: the largest absolute difference between kernel and reference, `allowed` at most (0: bit for
    bit)."""

    kernel: str
    case: str
    apart: float
    allowed: float

    @property
    def ok(self) -> bool:
        return self.apart <= self.allowed

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "ok": self.ok}


def compare(device: str) -> list[Compared]:
    """All cases. `device` "cpu" is for the interpreter."""
    draw = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw).to(device)

    def noise(*shape: int) -> Tensor:
        return torch.randint(0, 256, shape, generator=draw, dtype=torch.uint8).to(device)

    cases = (_nvfp4(normal), _packed(normal), _multiview(normal), _entropy(noise), _resize(noise))
    return [compared for each in cases for compared in each]


def _apart(ours: Tensor, theirs: Tensor) -> float:
    return float((ours.double() - theirs.double()).abs().max())


Draw = Callable[..., Tensor]


def _nvfp4(normal: Draw) -> Iterator[Compared]:
    for case, states in _states(normal):
        scale = e2m1.tensor_scale(states)
        ours, theirs = nvfp4.pack(states, scale), e2m1.encode(states, scale)
        yield Compared("nvfp4 pack", f"{case}, codes", _apart(ours[0], theirs[0]), 0)
        yield Compared("nvfp4 pack", f"{case}, scales", _apart(ours[1], theirs[1]), 0)
        read = e2m1.decode(*theirs, scale)
        yield Compared("nvfp4 unpack", f"{case}, to float32", _apart(nvfp4.unpack(*theirs, scale), read), 0)
        apart = _apart(nvfp4.unpack(*theirs, scale, torch.bfloat16), read.bfloat16())
        yield Compared("nvfp4 unpack", f"{case}, to bfloat16", apart, _cut_off(read))
    codes = torch.arange(256, dtype=torch.uint8).repeat(127, 1).to(normal(1).device)
    scales = torch.arange(127, dtype=torch.uint8)[:, None].expand(-1, 32).contiguous().to(codes.device)
    ones = torch.ones(127, 1, device=codes.device)
    apart = _apart(nvfp4.unpack(codes, scales, ones), e2m1.decode(codes, scales, ones))
    yield Compared("nvfp4 unpack", "all pairs of codes under all scales", apart, 0)


def _cut_off(read: Tensor) -> float:
    """The interpreter cuts off what BF16 cannot hold, where a GPU rounds: up to a bit."""
    return float(read.abs().max()) * 2**-7 if interpreted() else 0


def _states(normal: Draw) -> Iterator[tuple[str, Tensor]]:
    yield "heads of 128", normal(2, 1, 3, 128)
    yield "heads of 80", normal(1, 2, 5, 80) * 30
    yield "bfloat16", normal(2, 1, 5, 64).bfloat16()
    ties = torch.tensor([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 6.0]).to(normal(1).device)
    yield "ties", torch.cat([ties, -ties]).expand(1, 1, 3, 16) * 448
    yield (
        "tiny beside large, and zeros",
        normal(1, 1, 3, 16) * torch.tensor([1e-7, 100.0, 0.0])[:, None].to(ties),
    )


def _packed(normal: Draw) -> Iterator[Compared]:
    for case, heads, groups, asked, tokens, width, splits in (
        ("one query, grouped heads, three splits", 8, 2, 1, 150, 64, 3),
        ("three queries, causal", 4, 4, 3, 33, 32, 2),
        ("heads of 128", 2, 1, 1, 20, 128, 1),
    ):
        query = normal(2, heads, asked, width)
        key, value = (_pack(normal(2, groups, tokens, width)) for _ in range(2))
        apart = _apart(packed.attend(query, key, value, splits=splits), packed.reference(query, key, value))
        yield Compared("packed attention", case, apart, 1e-5)


def _pack(states: Tensor) -> packed.Packed:
    scale = e2m1.tensor_scale(states)
    return *e2m1.encode(states, scale), scale


def _multiview(normal: Draw) -> Iterator[Compared]:
    for case, before, views, after in (
        ("three views between text", 5, (20, 17, 9), 6),
        ("one view", 3, (40,), 2),
        ("text alone", 37, (), 0),
    ):
        length = before + sum(views) + after
        query, key, value = normal(2, 4, length, 32), normal(2, 2, length, 32), normal(2, 2, length, 32)
        visual = torch.arange(before, before + sum(views), device=query.device)
        marks = segments(length, visual, views)
        ours = multiview.attend(query, key, value, multiview.plan(marks, side=16))
        yield Compared(
            "multi-view attention", case, _apart(ours, multiview.reference(query, key, value, marks)), 1e-5
        )


def _entropy(noise: Draw) -> Iterator[Compared]:
    """Luma is a weighted sum, whose last bit may move a pixel to the next bin: a pixel in 256 is 0.03
    bits."""
    for case, pixels, side, colour in (
        ("noise, luma", noise(1, 3, 20, 36), 16, False),
        ("noise, colour", noise(2, 3, 16, 16), 16, True),
        ("flat", noise(1, 3, 1, 1).expand(1, 3, 32, 64), 32, True),
        ("cells of 28", noise(1, 3, 28, 60), 28, True),
    ):
        ours = entropy.entropies(pixels, side, colour=colour)
        theirs = entropy.reference(pixels, side, colour=colour)
        yield Compared("patch entropy", case, _apart(ours, theirs), 0.05)


def _resize(noise: Draw) -> Iterator[Compared]:
    pixels = noise(1, 19, 27, 3)
    for case, size, kind in (
        ("smaller, bilinear", (8, 11), "bilinear"),
        ("smaller, bicubic", (9, 12), "bicubic"),
        ("larger, bicubic", (22, 40), "bicubic"),
    ):
        ours = resize.resize(pixels, size, SCALE, BIAS, kind)  # type: ignore[arg-type] # one of the two
        theirs = resize.reference(pixels, size, SCALE, BIAS, kind)  # type: ignore[arg-type]
        yield Compared("resize and normalise", case, _apart(ours, theirs), 1e-4)
    window = (3.5, 2.0, 22.5, 17.0)
    cut = [each(pixels, (8, 8), SCALE, BIAS, window=window) for each in (resize.resize, resize.reference)]
    yield Compared("resize and normalise", "a window of it", _apart(*cut), 1e-4)

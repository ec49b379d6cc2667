"""A decoded picture resized and normalised in one pass: bytes [B, h, w, 3] to floats [B, 3, H, W].

Antialiased as Pillow and `torch.nn.functional.interpolate(antialias=True)` do it: the filter is stretched by
the factor of reduction. Every output pixel sums its source pixels under weights that `table` has worked out
for its row and column, is clamped to [0, 255] and normalised. Unlike Pillow nothing is rounded to bytes in
between. `models.ondevice` has classifiers on a GPU prepare their pictures so.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import torch
import triton
import triton.language as tl
from torch import Tensor

from models.kernels.tuned import tuned

Filter = Literal["bilinear", "bicubic"]
Window = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""
_SUPPORT = {"bilinear": 1.0, "bicubic": 2.0}
_SHARPNESS = -0.5
"""The free parameter of the cubic filter, as Pillow has it."""


@lru_cache(maxsize=64)
def table(
    source: int, target: int, kind: Filter, begin: float = 0.0, end: float | None = None
) -> tuple[Tensor, Tensor]:
    """int32 [target] first source pixel and FP32 [target, taps] weights (summing to 1) of each target
    pixel, of the part of `source` pixels from `begin` to `end`."""
    factor = ((source if end is None else end) - begin) / target
    stretch = max(factor, 1.0)
    support = _SUPPORT[kind] * stretch
    centre = begin + (torch.arange(target, dtype=torch.float64) + 0.5) * factor
    first = (centre - support + 0.5).floor().clamp(0).long()
    last = (centre + support + 0.5).floor().clamp(max=source).long()
    taps = int((last - first).max())
    place = first[:, None] + torch.arange(taps)
    weights = _weigh((place + 0.5 - centre[:, None]).abs() / stretch, kind)
    weights = torch.where(place < last[:, None], weights, 0.0)
    return first.int(), (weights / weights.sum(1, keepdim=True)).float()


def _weigh(away: Tensor, kind: Filter) -> Tensor:
    if kind == "bilinear":
        return (1 - away).clamp(0)
    near = ((_SHARPNESS + 2) * away - (_SHARPNESS + 3)) * away * away + 1
    far = ((away - 5) * away + 8) * away * _SHARPNESS - 4 * _SHARPNESS
    return torch.where(away < 1, near, torch.where(away < 2, far, 0.0))


@tuned(
    ["down_taps", "across_taps"],
    {"ROWS": 8, "COLUMNS": 32, "num_warps": 4},
    {"ROWS": 4, "COLUMNS": 64, "num_warps": 4},
    {"ROWS": 16, "COLUMNS": 32, "num_warps": 8},
)
@triton.jit
def resize_kernel(
    pixels: tl.tensor,
    out: tl.tensor,
    down_first: tl.tensor,
    down_weights: tl.tensor,
    across_first: tl.tensor,
    across_weights: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    rows: tl.tensor,
    columns: tl.tensor,
    down_taps: tl.tensor,
    across_taps: tl.tensor,
    gain_red: tl.tensor,
    gain_green: tl.tensor,
    gain_blue: tl.tensor,
    less_red: tl.tensor,
    less_green: tl.tensor,
    less_blue: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """One tile of one picture, all channels; a channel's value v leaves as v * gain - less."""
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    picture = tl.program_id(2).to(tl.int64)
    right, below = column < columns, row < rows
    top = tl.load(down_first + row, mask=below, other=0)
    left = tl.load(across_first + column, mask=right, other=0)
    red = tl.zeros((ROWS, COLUMNS), tl.float32)
    green = tl.zeros((ROWS, COLUMNS), tl.float32)
    blue = tl.zeros((ROWS, COLUMNS), tl.float32)
    for down in range(down_taps):
        heavy = tl.load(down_weights + row * down_taps + down, mask=below, other=0.0)
        line = tl.minimum(top + down, height - 1)
        for across in range(across_taps):
            light = tl.load(across_weights + column * across_taps + across, mask=right, other=0.0)
            at = tl.minimum(left + across, width - 1)
            weight = heavy[:, None] * light[None, :]
            source = pixels + ((picture * height + line[:, None]) * width + at[None, :]) * 3
            red += weight * tl.load(source).to(tl.float32)
            green += weight * tl.load(source + 1).to(tl.float32)
            blue += weight * tl.load(source + 2).to(tl.float32)
    there = below[:, None] & right[None, :]
    target = out + (picture * 3 * rows + row[:, None]) * columns + column[None, :]
    plane = rows * columns
    kind = out.dtype.element_ty
    red = tl.minimum(tl.maximum(red, 0.0), 255.0) * gain_red - less_red
    green = tl.minimum(tl.maximum(green, 0.0), 255.0) * gain_green - less_green
    blue = tl.minimum(tl.maximum(blue, 0.0), 255.0) * gain_blue - less_blue
    tl.store(target, red.to(kind), mask=there)
    tl.store(target + plane, green.to(kind), mask=there)
    tl.store(target + 2 * plane, blue.to(kind), mask=there)


def resize(
    pixels: Tensor,
    size: tuple[int, int],
    scale: Sequence[float],
    bias: Sequence[float],
    kind: Filter = "bicubic",
    dtype: torch.dtype = torch.float32,
    window: Window | None = None,
) -> Tensor:
    """`dtype` [B, 3, *size] of uint8 `pixels` [B, h, w, 3]: their `window` (None: all) resized, times `scale`
    and plus `bias` of the channel."""
    pixels = pixels.contiguous()
    batch, height, width, _ = pixels.shape
    rows, columns = size
    out = torch.empty(batch, 3, rows, columns, dtype=dtype, device=pixels.device)
    down, across = (
        tuple(each.to(pixels.device).contiguous() for each in part)
        for part in _tables((height, width), size, kind, window)
    )
    grid = lambda sizes: (triton.cdiv(columns, sizes["COLUMNS"]), triton.cdiv(rows, sizes["ROWS"]), batch)  # noqa: E731
    resize_kernel[grid](
        pixels,
        out,
        *down,
        *across,
        height,
        width,
        rows,
        columns,
        down[1].shape[1],
        across[1].shape[1],
        *scale,
        *(-each for each in bias),
    )
    return out


def reference(
    pixels: Tensor,
    size: tuple[int, int],
    scale: Sequence[float],
    bias: Sequence[float],
    kind: Filter = "bicubic",
    window: Window | None = None,
) -> Tensor:
    """The same in FP32 by two matrix products."""
    height, width = pixels.shape[1:3]
    tables = _tables((height, width), size, kind, window)
    down, across = (
        _matrix(source, *part).to(pixels.device) for source, part in zip((height, width), tables, strict=True)
    )
    resized = torch.einsum("rh,bhwc,kw->bcrk", down, pixels.float(), across)
    times, plus = (torch.tensor(each, device=pixels.device).view(1, 3, 1, 1) for each in (scale, bias))
    return resized.clamp(0, 255) * times + plus


def _tables(
    source: tuple[int, int], target: tuple[int, int], kind: Filter, window: Window | None
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Of rows, and of columns."""
    left, top, right, bottom = window or (0.0, 0.0, source[1], source[0])
    return table(source[0], target[0], kind, top, bottom), table(source[1], target[1], kind, left, right)


def _matrix(source: int, first: Tensor, weights: Tensor) -> Tensor:
    """FP32 [target, source]."""
    place = (first[:, None] + torch.arange(weights.shape[1])).clamp(max=source - 1).long()
    return torch.zeros(len(first), source).scatter_add_(1, place, weights)

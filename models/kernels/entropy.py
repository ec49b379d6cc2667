"""Entropy in bits of the histogram of every cell of a picture, over luma and chroma:
`models.compress.apt.entropy` in one pass over the pixels, without a histogram in memory.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from models.compress.apt.entropy import BINS, PLANES, bits, histograms, planes
from models.kernels.tuned import tuned

LEAST, MOST = 8, 64
"""Sides of cells, in pixels."""


@tuned(["SIDE"], {"num_warps": 4}, {"num_warps": 8}, {"num_warps": 2})
@triton.jit
def entropy_kernel(
    pixels: tl.tensor,
    found: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    red: tl.tensor,
    green: tl.tensor,
    blue: tl.tensor,
    shift: tl.tensor,
    plane: tl.tensor,
    planes_: tl.tensor,
    most: tl.tensor,
    SIDE: tl.constexpr,
    SPAN: tl.constexpr,
    BINS: tl.constexpr,
) -> None:
    """One cell of one picture, one plane. `pixels` [B, 3, h, w]; `found` [B, planes, rows, columns] FP32;
    `most` bits that a cell can have; SPAN the power of two that is not below SIDE * SIDE."""
    column = tl.program_id(0)
    row = tl.program_id(1)
    picture = tl.program_id(2)
    flat = tl.arange(0, SPAN)
    there = flat < SIDE * SIDE
    down = row * SIDE + flat // SIDE
    across = column * SIDE + flat % SIDE
    at = picture.to(tl.int64) * 3 * height * width + down * width + across
    value = red * tl.load(pixels + at, mask=there, other=0).to(tl.float32)
    value += green * tl.load(pixels + at + height * width, mask=there, other=0).to(tl.float32)
    value += blue * tl.load(pixels + at + 2 * height * width, mask=there, other=0).to(tl.float32)
    level = ((value + shift) * (BINS / 255)).to(tl.int32)
    level = tl.minimum(tl.maximum(level, 0), BINS - 1)
    count = tl.histogram(level, BINS, mask=there).to(tl.float32)
    spent = tl.sum(tl.where(count > 0, count * tl.log2(tl.maximum(count, 1.0)), 0.0), axis=0)
    whole = tl.num_programs(0) * tl.num_programs(1)
    slot = (picture * planes_ + plane) * whole + row * tl.num_programs(0) + column
    tl.store(found + slot, most - spent / (SIDE * SIDE))


def takes(side: int, bins: int) -> bool:
    """Whether the kernel has cells of this side and histograms of so many bins."""
    return LEAST <= side <= MOST and bins & (bins - 1) == 0


def entropies(pixels: Tensor, side: int, bins: int = BINS, colour: bool = True) -> Tensor:
    """(batch, h // side, w // side) bits, the largest over the planes, of RGB `pixels` (batch, 3, h, w) in
    [0, 255].

    Raises ValueError for a side that the kernel does not take, or bins that are no power of two.
    """
    if not takes(side, bins):
        raise ValueError(
            f"cells have a side of {LEAST} to {MOST} and bins are a power of two, not {side} and {bins}"
        )
    pixels = pixels.contiguous()
    batch, _, height, width = pixels.shape
    rows, columns = height // side, width // side
    count = 3 if colour else 1
    found = torch.empty(batch, count, rows, columns, device=pixels.device)
    if found.numel():
        for plane in range(count):
            entropy_kernel[(columns, rows, batch)](
                pixels,
                found,
                height,
                width,
                *PLANES[plane],
                128.0 if plane else 0.0,
                plane,
                count,
                2 * math.log2(side),
                SIDE=side,
                SPAN=triton.next_power_of_2(side * side),
                BINS=bins,
            )
    return found.amax(1)


def reference(pixels: Tensor, side: int, bins: int = BINS, colour: bool = True) -> Tensor:
    """The same by counting in PyTorch."""
    return bits(histograms(planes(pixels, colour), side, bins)).amax(1)

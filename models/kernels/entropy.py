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

SIDES = (8, 16, 32, 64)


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
    BINS: tl.constexpr,
) -> None:
    """One cell of one picture, one plane. `pixels` [B, 3, h, w]; `found` [B, planes, rows, columns] FP32;
    `most` bits that a cell can have."""
    column = tl.program_id(0)
    row = tl.program_id(1)
    picture = tl.program_id(2)
    flat = tl.arange(0, SIDE * SIDE)
    down = row * SIDE + flat // SIDE
    across = column * SIDE + flat % SIDE
    at = picture.to(tl.int64) * 3 * height * width + down * width + across
    value = red * tl.load(pixels + at).to(tl.float32)
    value += green * tl.load(pixels + at + height * width).to(tl.float32)
    value += blue * tl.load(pixels + at + 2 * height * width).to(tl.float32)
    level = ((value + shift) * (BINS / 255)).to(tl.int32)
    level = tl.minimum(tl.maximum(level, 0), BINS - 1)
    count = tl.histogram(level, BINS).to(tl.float32)
    spent = tl.sum(tl.where(count > 0, count * tl.log2(tl.maximum(count, 1.0)), 0.0), axis=0)
    whole = tl.num_programs(0) * tl.num_programs(1)
    slot = (picture * planes_ + plane) * whole + row * tl.num_programs(0) + column
    tl.store(found + slot, most - spent / (SIDE * SIDE))


def entropies(pixels: Tensor, side: int, bins: int = BINS, colour: bool = True) -> Tensor:
    """(batch, h // side, w // side) bits, the largest over the planes, of RGB `pixels` (batch, 3, h, w) in
    [0, 255].

    Raises ValueError for a side that the kernel does not take, or bins that are no power of two.
    """
    if side not in SIDES or bins & (bins - 1):
        raise ValueError(f"cells have a side of {SIDES} and bins are a power of two, not {side} and {bins}")
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
                BINS=bins,
            )
    return found.amax(1)


def reference(pixels: Tensor, side: int, bins: int = BINS, colour: bool = True) -> Tensor:
    """The same by counting in PyTorch."""
    return bits(histograms(planes(pixels, colour), side, bins)).amax(1)

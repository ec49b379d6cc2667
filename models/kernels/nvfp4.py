"""NVFP4 packed and unpacked in one pass each: `models.compress.caches.e2m1`, bit for bit.

A kernel's program takes some blocks of 16 elements, so any head dimension that is a multiple of 16 will do.
Division is IEEE's (`div_rn`), as PyTorch's is; a GPU's quick one would round other codes.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from models.kernels.digits import e2m1_read, e2m1_write, e4m3_read, e4m3_write
from models.kernels.tuned import size_class, tuned

BLOCK = 16
_CHOICES = (
    {"BLOCKS": 128, "num_warps": 4},
    {"BLOCKS": 64, "num_warps": 2},
    {"BLOCKS": 256, "num_warps": 8},
    {"BLOCKS": 512, "num_warps": 8},
)


@tuned(["about"], *_CHOICES)
@triton.jit
def pack_kernel(
    states: tl.tensor,
    scale: tl.tensor,
    codes: tl.tensor,
    scales: tl.tensor,
    total: tl.tensor,
    row: tl.tensor,
    about: tl.tensor,
    BLOCKS: tl.constexpr,
) -> None:
    """`total` blocks, `row` of them under each tensor scale; `about` is the size class of `total`."""
    block = tl.program_id(0) * BLOCKS + tl.arange(0, BLOCKS)
    there = block < total
    at = block[:, None].to(tl.int64) * 16 + tl.arange(0, 16)[None, :]
    values = tl.load(states + at, mask=there[:, None], other=0.0).to(tl.float32)
    whole = tl.load(scale + block // row, mask=there, other=1.0)
    wanted = tl.math.div_rn(tl.max(tl.abs(values), axis=1), 6.0 * whole)
    stored = e4m3_write(tl.minimum(tl.maximum(wanted, 0.001953125), 448.0))
    code = e2m1_write(tl.math.div_rn(values, (e4m3_read(stored) * whole)[:, None]))
    even, odd = tl.split(tl.reshape(code, (BLOCKS, 8, 2)))
    out = block[:, None].to(tl.int64) * 8 + tl.arange(0, 8)[None, :]
    tl.store(codes + out, (even | (odd << 4)).to(tl.uint8), mask=there[:, None])
    tl.store(scales + block, stored.to(tl.uint8), mask=there)


@tuned(["about"], *_CHOICES)
@triton.jit
def unpack_kernel(
    codes: tl.tensor,
    scales: tl.tensor,
    scale: tl.tensor,
    states: tl.tensor,
    total: tl.tensor,
    row: tl.tensor,
    about: tl.tensor,
    BLOCKS: tl.constexpr,
) -> None:
    block = tl.program_id(0) * BLOCKS + tl.arange(0, BLOCKS)
    there = block < total
    at = block[:, None].to(tl.int64) * 8 + tl.arange(0, 8)[None, :]
    pair = tl.load(codes + at, mask=there[:, None], other=0).to(tl.int32)
    stored = tl.load(scales + block, mask=there, other=0).to(tl.int32)
    factor = e4m3_read(stored) * tl.load(scale + block // row, mask=there, other=1.0)
    values = tl.interleave(e2m1_read(pair & 15), e2m1_read(pair >> 4)) * factor[:, None]
    out = block[:, None].to(tl.int64) * 16 + tl.arange(0, 16)[None, :]
    tl.store(states + out, values.to(states.dtype.element_ty), mask=there[:, None])


def pack(states: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """As `e2m1.encode`, with one `scale` a row: FP32 [B, 1, ..., 1] of states [B, ..., d]."""
    width = states.shape[-1]
    if width % BLOCK:
        raise ValueError(f"NVFP4 takes blocks of {BLOCK}: {width} elements in a row are no multiple of it")
    states = states.contiguous()
    codes = torch.empty(*states.shape[:-1], width // 2, dtype=torch.uint8, device=states.device)
    scales = torch.empty(*states.shape[:-1], width // BLOCK, dtype=torch.uint8, device=states.device)
    if total := scales.numel():
        pack_kernel[_grid(total)](
            states, scale.reshape(-1), codes, scales, total, total // len(states), size_class(total)
        )
    return codes, scales


def unpack(codes: Tensor, scales: Tensor, scale: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """As `e2m1.decode`, with one `scale` a row."""
    codes, scales = codes.contiguous(), scales.contiguous()
    states = torch.empty(*codes.shape[:-1], codes.shape[-1] * 2, dtype=dtype, device=codes.device)
    if total := scales.numel():
        unpack_kernel[_grid(total)](
            codes, scales, scale.reshape(-1), states, total, total // len(codes), size_class(total)
        )
    return states


def _grid(total: int) -> Any:
    return lambda sizes: (triton.cdiv(total, sizes["BLOCKS"]),)

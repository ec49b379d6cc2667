"""Attention of few queries over keys and values in NVFP4, which are never unpacked into memory.

Even and odd elements of a head lie in the low and high nibbles of the same bytes, so queries and outputs are
taken apart into even and odd elements instead: q.k = q_even.k_low + q_odd.k_high. A code times its block
scale is exact in BF16 and FP16 (six bits); the tensor scales are multiplied in at the end. Keys are cut into
splits that run side by side, each with its own running maximum and sum, put together after.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional

from models.compress.caches import e2m1
from models.kernels.digits import e2m1_read, e4m3_read
from models.kernels.tuned import size_class, tuned

WIDTHS = (32, 64, 128, 256)
MOST_ROWS = 128
"""Queries times query heads to a key head: they all lie in one tile."""
Packed = tuple[Tensor, Tensor, Tensor]
"""Codes [B, Hkv, N, d / 2], block scales [B, Hkv, N, d / 16], tensor scales [B, 1, 1, 1]."""


@triton.jit
def _halves(
    codes: tl.tensor,
    scales: tl.tensor,
    place: tl.tensor,
    there: tl.tensor,
    DTYPE: tl.constexpr,
    BLOCK: tl.constexpr,
    HALF: tl.constexpr,
) -> tl.tensor:
    """The even and the odd elements [BLOCK, HALF] of the heads at `place` [BLOCK], by their block scales."""
    at = place[:, None] * HALF + tl.arange(0, HALF)[None, :]
    pair = tl.load(codes + at, mask=there[:, None], other=0).to(tl.int32)
    at = place[:, None] * (HALF // 8) + tl.arange(0, HALF // 8)[None, :]
    scale = e4m3_read(tl.load(scales + at, mask=there[:, None], other=0).to(tl.int32))[:, :, None]
    low = tl.reshape(tl.reshape(e2m1_read(pair & 15), (BLOCK, HALF // 8, 8)) * scale, (BLOCK, HALF))
    high = tl.reshape(tl.reshape(e2m1_read(pair >> 4), (BLOCK, HALF // 8, 8)) * scale, (BLOCK, HALF))
    return low.to(DTYPE), high.to(DTYPE)


@tuned(
    ["about", "ROWS", "HALF"],
    {"BLOCK": 64, "num_warps": 4, "num_stages": 2},
    {"BLOCK": 32, "num_warps": 4, "num_stages": 3},
    {"BLOCK": 128, "num_warps": 8, "num_stages": 2},
)
@triton.jit
def packed_kernel(
    query: tl.tensor,
    key_codes: tl.tensor,
    key_scales: tl.tensor,
    key_scale: tl.tensor,
    value_codes: tl.tensor,
    value_scales: tl.tensor,
    value_scale: tl.tensor,
    partial: tl.tensor,
    peaks: tl.tensor,
    sums: tl.tensor,
    factor: tl.tensor,
    tokens: tl.tensor,
    heads: tl.tensor,
    asked: tl.tensor,
    grouped: tl.tensor,
    split: tl.tensor,
    about: tl.tensor,
    ROWS: tl.constexpr,
    HALF: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """One KV head of one row of the batch, one split of `split` tokens.

    `query` [B * Hkv, grouped, 2 * HALF], the last axis but one being group and place, `asked` places to each;
    `partial` [B * Hkv, splits, grouped, 2 * HALF], `peaks` and `sums` [B * Hkv, splits, grouped] FP32.
    """
    head = tl.program_id(0)
    part = tl.program_id(1)
    row = tl.arange(0, ROWS)
    column = tl.arange(0, HALF)
    there = row < grouped
    at = (head * grouped + row)[:, None] * (2 * HALF) + 2 * column[None, :]
    even = tl.load(query + at, mask=there[:, None], other=0.0)
    odd = tl.load(query + at + 1, mask=there[:, None], other=0.0)
    turn = factor * tl.load(key_scale + head // heads)
    last = tokens - asked + row % asked
    peak = tl.full((ROWS,), -float("inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    said_even = tl.zeros((ROWS, HALF), tl.float32)
    said_odd = tl.zeros((ROWS, HALF), tl.float32)
    begin = part * split
    end = tl.minimum(begin + split, tokens)
    for start in range(begin, end, BLOCK):
        token = start + tl.arange(0, BLOCK)
        seen = token < end
        place = head.to(tl.int64) * tokens + token
        low, high = _halves(key_codes, key_scales, place, seen, query.dtype.element_ty, BLOCK, HALF)
        scores = tl.dot(even, tl.trans(low), input_precision="ieee")
        scores += tl.dot(odd, tl.trans(high), input_precision="ieee")
        allowed = seen[None, :] & (token[None, :] <= last[:, None])
        scores = tl.where(allowed, scores * turn, -float("inf"))
        higher = tl.maximum(peak, tl.max(scores, axis=1))
        anchor = tl.where(higher == -float("inf"), 0.0, higher)
        weight = tl.exp2(scores - anchor[:, None])
        fade = tl.exp2(peak - anchor)
        low, high = _halves(value_codes, value_scales, place, seen, query.dtype.element_ty, BLOCK, HALF)
        share = weight.to(even.dtype)
        said_even = said_even * fade[:, None] + tl.dot(share, low, input_precision="ieee")
        said_odd = said_odd * fade[:, None] + tl.dot(share, high, input_precision="ieee")
        total = total * fade + tl.sum(weight, axis=1)
        peak = higher
    scaled = tl.load(value_scale + head // heads)
    slot = (head * tl.num_programs(1) + part) * grouped + row
    out = slot[:, None].to(tl.int64) * (2 * HALF) + 2 * column[None, :]
    tl.store(partial + out, said_even * scaled, mask=there[:, None])
    tl.store(partial + out + 1, said_odd * scaled, mask=there[:, None])
    tl.store(peaks + slot, peak, mask=there)
    tl.store(sums + slot, total, mask=there)


def attend(
    query: Tensor, key: Packed, value: Packed, scaling: float | None = None, splits: int | None = None
) -> Tensor:
    """[B, H, Q, d] of query [B, H, Q, d], the last Q tokens of those packed; causal.

    `splits` of the keys, None: as many as fill the device. Raises ValueError for a head dimension or
    a number of queries that the kernel does not take.
    """
    batch, heads, asked, width = query.shape
    groups, tokens = key[0].shape[1:3]
    if width not in WIDTHS:
        raise ValueError(f"attention over packed keys takes heads of {WIDTHS}, not {width}")
    grouped = heads // groups * asked
    if grouped > MOST_ROWS:
        raise ValueError(f"{asked} queries of {heads // groups} heads to a key are more than {MOST_ROWS}")
    splits = splits or _splits(tokens, batch * groups, query.device)
    shape = (batch * groups, splits, grouped)
    partial = torch.empty(*shape, width, dtype=torch.float32, device=query.device)
    peaks, sums = (torch.empty(shape, dtype=torch.float32, device=query.device) for _ in range(2))
    packed_kernel[(batch * groups, splits)](
        query.reshape(batch * groups, grouped, width),
        *(part.contiguous() for part in key[:2]),
        key[2].reshape(-1),
        *(part.contiguous() for part in value[:2]),
        value[2].reshape(-1),
        partial,
        peaks,
        sums,
        (width**-0.5 if scaling is None else scaling) * 1.4426950408889634,
        tokens,
        groups,
        asked,
        grouped,
        triton.cdiv(tokens, splits),
        size_class(tokens),
        ROWS=max(16, triton.next_power_of_2(grouped)),
        HALF=width // 2,
    )
    weight = torch.exp2(peaks - peaks.amax(1, keepdim=True))
    whole = (partial * weight[..., None]).sum(1) / (sums * weight).sum(1)[..., None]
    return whole.view(batch, heads, asked, width).to(query.dtype)


def reference(query: Tensor, key: Packed, value: Packed, scaling: float | None = None) -> Tensor:
    """The same by unpacking and scaled_dot_product_attention."""
    keys, values = (e2m1.decode(*packed, query.dtype) for packed in (key, value))
    asked, tokens = query.shape[2], keys.shape[2]
    mask = torch.ones(asked, tokens, dtype=torch.bool, device=query.device).tril(tokens - asked)
    return functional.scaled_dot_product_attention(
        query, keys, values, attn_mask=mask, scale=scaling, enable_gqa=True
    )


def _splits(tokens: int, programs: int, device: torch.device) -> int:
    """Enough to give every multiprocessor two programs, of 256 tokens at least."""
    wanted = 1
    if device.type == "cuda":
        wanted = 2 * torch.cuda.get_device_properties(device).multi_processor_count // programs
    return max(1, min(wanted, -(-tokens // 256)))

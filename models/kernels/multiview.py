"""Attention over several views: a view's tokens see the text before them and their own view, text sees
everything before it. Block-diagonal with shared text.

Causal throughout. Tiles of keys that no query of a tile may see are never loaded: with six views of equal
size and little text a third to a fifth of the causal work is left. `plan` finds those tiles once for a
prompt's layout.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional

from models.compress.segments import allowed
from models.kernels.tuned import size_class, tuned

WIDTHS = (16, 32, 64, 128, 256)
TILE = 64


@dataclass(frozen=True)
class Layout:
    """`segments` [N] int32: 0 for text, 1.. for views; `tiles` [Q, K] int32 of the key tiles each query tile
    needs, `counts` [Q] of them; `side` tokens in a tile."""

    segments: Tensor
    tiles: Tensor
    counts: Tensor
    side: int


def plan(segments: Tensor, side: int = TILE) -> Layout:
    """`segments` [N]: 0 for text, the view's number from 1 for its tokens. A tile is left out when no pair in
    it may see each other; tiles that hold several views may be kept for nothing."""
    length = len(segments)
    count = triton.cdiv(length, side)
    padded = functional.pad(segments.int(), (0, count * side - length)).view(count, side)
    text = padded.eq(0).any(1)
    least = padded.masked_fill(padded.eq(0), 1 << 30).amin(1)
    most = padded.amax(1)
    meets = (least[:, None] <= most) & (least <= most[:, None])
    order = torch.arange(count, device=segments.device)
    needed = (text[:, None] | text | meets) & (order[:, None] >= order)
    tiles = torch.sort((~needed).int(), dim=1, stable=True).indices
    return Layout(segments.int().contiguous(), tiles.int().contiguous(), needed.sum(1).int(), side)


@tuned(
    ["about", "WIDTH"],
    {"num_warps": 4, "num_stages": 2},
    {"num_warps": 4, "num_stages": 3},
    {"num_warps": 8, "num_stages": 2},
    {"num_warps": 8, "num_stages": 3},
)
@triton.jit
def multiview_kernel(
    query: tl.tensor,
    key: tl.tensor,
    value: tl.tensor,
    said: tl.tensor,
    segments: tl.tensor,
    tiles: tl.tensor,
    counts: tl.tensor,
    factor: tl.tensor,
    tokens: tl.tensor,
    heads: tl.tensor,
    groups: tl.tensor,
    across: tl.tensor,
    about: tl.tensor,
    WIDTH: tl.constexpr,
    SIDE: tl.constexpr,
) -> None:
    """One tile of queries of one head; `across` tiles in a row of `tiles`."""
    tile = tl.program_id(0)
    lane = tl.program_id(1)
    batch = lane // heads
    shared = batch * groups + (lane % heads) // (heads // groups)
    column = tl.arange(0, WIDTH)
    row = tile * SIDE + tl.arange(0, SIDE)
    there = row < tokens
    at = (lane.to(tl.int64) * tokens + row)[:, None] * WIDTH + column[None, :]
    asked = tl.load(query + at, mask=there[:, None], other=0.0)
    mine = tl.load(segments + row, mask=there, other=0)
    peak = tl.full((SIDE,), -float("inf"), tl.float32)
    total = tl.zeros((SIDE,), tl.float32)
    sum_ = tl.zeros((SIDE, WIDTH), tl.float32)
    for turn in range(tl.load(counts + tile)):
        token = tl.load(tiles + tile * across + turn) * SIDE + tl.arange(0, SIDE)
        known = token < tokens
        where = (shared.to(tl.int64) * tokens + token)[:, None] * WIDTH + column[None, :]
        keys = tl.load(key + where, mask=known[:, None], other=0.0)
        theirs = tl.load(segments + token, mask=known, other=0)
        seen = (token[None, :] <= row[:, None]) & known[None, :]
        kin = (mine[:, None] == 0) | (theirs[None, :] == 0) | (mine[:, None] == theirs[None, :])
        scores = tl.dot(asked, tl.trans(keys), input_precision="ieee") * factor
        scores = tl.where(seen & kin, scores, -float("inf"))
        higher = tl.maximum(peak, tl.max(scores, axis=1))
        anchor = tl.where(higher == -float("inf"), 0.0, higher)
        weight = tl.exp2(scores - anchor[:, None])
        fade = tl.exp2(peak - anchor)
        values = tl.load(value + where, mask=known[:, None], other=0.0)
        sum_ = sum_ * fade[:, None] + tl.dot(weight.to(values.dtype), values, input_precision="ieee")
        total = total * fade + tl.sum(weight, axis=1)
        peak = higher
    out = sum_ / total[:, None]
    tl.store(said + at, out.to(said.dtype.element_ty), mask=there[:, None])


def attend(query: Tensor, key: Tensor, value: Tensor, layout: Layout, scaling: float | None = None) -> Tensor:
    """[B, H, N, d] of query [B, H, N, d], key and value [B, Hkv, N, d]. Raises ValueError for a head
    dimension that the kernel does not take."""
    batch, heads, tokens, width = query.shape
    if width not in WIDTHS:
        raise ValueError(f"attention over views takes heads of {WIDTHS}, not {width}")
    said = torch.empty(query.shape, dtype=query.dtype, device=query.device)
    count = len(layout.counts)
    multiview_kernel[(count, batch * heads)](
        query.contiguous(),
        key.contiguous(),
        value.contiguous(),
        said,
        layout.segments,
        layout.tiles,
        layout.counts,
        (width**-0.5 if scaling is None else scaling) * 1.4426950408889634,
        tokens,
        heads,
        key.shape[1],
        count,
        size_class(tokens),
        WIDTH=width,
        SIDE=layout.side,
    )
    return said


def reference(
    query: Tensor, key: Tensor, value: Tensor, segments: Tensor, scaling: float | None = None
) -> Tensor:
    """The same by scaled_dot_product_attention under `allowed`."""
    return functional.scaled_dot_product_attention(
        query, key, value, attn_mask=allowed(segments), scale=scaling, enable_gqa=True
    )

"""Local attention along a Hilbert curve (arXiv 2511.05832): what is near in the picture is near in memory.

The generalised Hilbert curve visits every cell of a rectangle once; windows or neighbourhoods are then cut
on that one-dimensional order, where they are blocks, so most of the attention matrix is empty blocks that a
block-sparse kernel skips. The blocks are cut and handed to SDPA, or FlexAttention does the same
(`backend="flex"`, for a GPU, where nobody has measured it yet; on a CPU it computes everything).

Chosen here: `reach` counts curve steps to either side ("neighbours"), or the tokens that share a window
("window"). Windows are irregular in the picture, so weights of Swin windows do not fit. At the token counts
of 224 px there are no empty blocks to skip (see `empty_blocks`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Kind = Literal["neighbours", "window"]
Backend = Literal["blocks", "flex"]
Point = tuple[int, int]


@dataclass(frozen=True)
class Pattern:
    """Who may look at whom on the curve: within `reach` steps, or in the same window of `reach` tokens."""

    kind: Kind
    reach: int

    def __post_init__(self) -> None:
        if self.reach < (1 if self.kind == "window" else 0):
            raise ValueError(f"{self.kind} of {self.reach} tokens")

    def allows(self, row: Tensor, column: Tensor) -> Tensor:
        """Bool, broadcast over curve positions."""
        if self.kind == "window":
            return torch.div(row, self.reach, rounding_mode="floor") == torch.div(
                column, self.reach, rounding_mode="floor"
            )
        return (row - column).abs() <= self.reach

    def mask(self, tokens: int, device: torch.device | None = None) -> Tensor:
        """(tokens, tokens) bool."""
        at = torch.arange(tokens, device=device)
        return self.allows(at[:, None], at[None, :])


@lru_cache(maxsize=64)
def curve(height: int, width: int) -> tuple[int, ...]:
    """Raster index (row * width + column) of each step of the curve; every cell once.

    Neighbouring steps are neighbouring cells; where a side is odd one step may be diagonal.
    """
    if height < 1 or width < 1:
        raise ValueError(f"a grid of {height} x {width}")
    across, down = (1, 0), (0, 1)
    if width >= height:
        cells = _fill((0, 0), across, width, down, height)
    else:
        cells = _fill((0, 0), down, height, across, width)
    return tuple(y * width + x for x, y in cells)


def _fill(at: Point, along: Point, length: int, aside: Point, depth: int) -> Iterator[Point]:
    """Cells of the rectangle `length` by `depth` from `at`, ending `length` - 1 further `along`."""
    if depth == 1 or length == 1:
        step, count = (along, length) if depth == 1 else (aside, depth)
        yield from (_move(at, step, number) for number in range(count))
        return
    half, deep = length // 2, depth // 2
    if 2 * length > 3 * depth:
        half += half % 2 if length > 2 else 0
        yield from _fill(at, along, half, aside, depth)
        yield from _fill(_move(at, along, half), along, length - half, aside, depth)
        return
    deep += deep % 2 if depth > 2 else 0
    yield from _fill(at, aside, deep, along, half)
    yield from _fill(_move(at, aside, deep), along, length, aside, depth - deep)
    corner = _move(_move(at, along, length - 1), aside, deep - 1)
    yield from _fill(corner, _back(aside), deep, _back(along), length - half)


def _move(at: Point, step: Point, count: int) -> Point:
    return at[0] + step[0] * count, at[1] + step[1] * count


def _back(step: Point) -> Point:
    return -step[0], -step[1]


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    grid: tuple[int, int],
    pattern: Pattern,
    backend: Backend = "blocks",
    block: int = 64,
    scale: float | None = None,
) -> Tensor:
    """(batch, heads, height * width, d) as dense attention, but each token looks only where `pattern` allows.

    Inputs and output are in raster order. A pattern that allows everything is dense attention itself.
    """
    tokens = grid[0] * grid[1]
    if query.shape[-2] != tokens:
        raise ValueError(f"{query.shape[-2]} tokens are not a grid of {grid[0]} x {grid[1]}")
    if pattern.reach >= tokens:
        return functional.scaled_dot_product_attention(query, key, value, scale=scale)
    order = torch.tensor(curve(*grid), device=query.device)
    q, k, v = (each.index_select(-2, order) for each in (query, key, value))
    if backend == "flex":
        return _flex(q, k, v, pattern, scale).index_select(-2, order.argsort())
    return _blocks(q, k, v, pattern, block, scale).index_select(-2, order.argsort())


def _blocks(
    query: Tensor, key: Tensor, value: Tensor, pattern: Pattern, block: int, scale: float | None
) -> Tensor:
    """Only the keys of blocks that any query of a block may see are read."""
    mask = pattern.mask(query.shape[-2], query.device)
    found = []
    for start in range(0, query.shape[-2], block):
        rows = mask[start : start + block]
        low, high = _span(rows, block)
        found.append(
            functional.scaled_dot_product_attention(
                query[..., start : start + block, :],
                key[..., low:high, :],
                value[..., low:high, :],
                attn_mask=rows[:, low:high],
                scale=scale,
            )
        )
    return torch.cat(found, dim=-2)


def _span(rows: Tensor, block: int) -> tuple[int, int]:
    """First and one past the last key that any of `rows` sees, widened to whole blocks."""
    seen = rows.any(dim=0).nonzero()
    low, high = int(seen[0]), int(seen[-1]) + 1
    return low // block * block, min(-(-high // block) * block, rows.shape[1])


def _flex(query: Tensor, key: Tensor, value: Tensor, pattern: Pattern, scale: float | None) -> Tensor:
    """torch's FlexAttention: compiled where there is a GPU, its eager form (dense inside) elsewhere."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    def allows(batch: Tensor, head: Tensor, row: Tensor, column: Tensor) -> Tensor:
        return pattern.allows(row, column)

    tokens = query.shape[-2]
    blocks = create_block_mask(allows, None, None, tokens, tokens, device=str(query.device))
    attention = torch.compile(flex_attention) if query.is_cuda else flex_attention
    found = attention(query, key, value, block_mask=blocks, scale=scale)
    assert isinstance(found, Tensor)
    return found


def empty_blocks(mask: Tensor, block: int) -> float:
    """Share of `block` x `block` blocks of a (n, n) bool mask without an allowed pair; ragged ends count."""
    padding = -mask.shape[0] % block
    padded = functional.pad(mask, (0, padding, 0, padding))
    count = padded.shape[0] // block
    seen = padded.reshape(count, block, count, block).any(dim=3).any(dim=1)
    return float((~seen).double().mean())


def picture_windows(height: int, width: int, side: int, order: tuple[int, ...] | None = None) -> Tensor:
    """(n, n) bool of square windows of `side` cells in the picture, tokens in `order` (raster without it).

    The comparison that `empty_blocks` is for: the same windows, stored row by row or along the curve.
    """
    at = torch.tensor(order) if order else torch.arange(height * width)
    window = at // width // side * (-(-width // side)) + at % width // side
    return window[:, None] == window[None, :]

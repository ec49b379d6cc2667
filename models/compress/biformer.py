"""Bi-level routing attention (BiFormer, arXiv 2303.08810): regions choose regions, then tokens attend inside.

The grid is split into `regions` x `regions` regions; each region's mean query meets each region's mean key
(detached: routing is not trained), and its tokens attend to the tokens of the `top` best regions only.

Chosen here: all heads route together (the mean is over the full width, as in the paper); `scale` is
width^-0.5 as its authors' code has it, not head_width^-0.5, or whatever is given; `top` = all regions is
dense attention itself. The paper's depthwise convolution of the values (LEPE) is left out: encoders that were
trained without it have none.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from models.compress.order import top as best


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    grid: tuple[int, int],
    regions: int,
    top: int,
    scale: float | None = None,
) -> Tensor:
    """(batch, heads, height * width, d), tokens in raster order, `grid` sides divisible by `regions`."""
    check(grid, regions, top)
    scale = (query.shape[1] * query.shape[-1]) ** -0.5 if scale is None else scale
    if top == regions**2:
        return functional.scaled_dot_product_attention(query, key, value, scale=scale)
    return routed(query, key, value, grid, regions, top, scale)


def check(grid: tuple[int, int], regions: int, top: int) -> None:
    """Raises ValueError for a grid that does not divide, or more regions than there are."""
    if grid[0] % regions or grid[1] % regions:
        raise ValueError(
            f"a grid of {grid[0]} x {grid[1]} does not divide into {regions} x {regions} regions"
        )
    if not 1 <= top <= regions**2:
        raise ValueError(f"{top} of {regions**2} regions")


def routed(
    query: Tensor, key: Tensor, value: Tensor, grid: tuple[int, int], regions: int, top: int, scale: float
) -> Tensor:
    """As `attend`, by routing, whatever `top` is."""
    q, k, v = (split(each, grid, regions) for each in (query, key, value))
    choice = route(q, k, top)
    seen_k, seen_v = _chosen(k, choice), _chosen(v, choice)
    found = functional.scaled_dot_product_attention(q, seen_k, seen_v, scale=scale)
    return join(found, grid, regions)


def route(query: Tensor, key: Tensor, top: int) -> Tensor:
    """(batch, regions^2, top) sorted: the regions that each region's mean query likes best."""
    with torch.no_grad():
        affinity = torch.einsum("bhrd,bhsd->brs", query.mean(dim=-2), key.mean(dim=-2))
        return best(affinity, top)


def _chosen(states: Tensor, choice: Tensor) -> Tensor:
    """(batch, heads, regions^2, top * tokens, d) of states (batch, heads, regions^2, tokens, d)."""
    batch, heads, count, tokens, width = states.shape
    rows = torch.arange(batch, device=states.device)[:, None, None]
    taken = states.transpose(1, 2)[rows, choice]  # (batch, regions^2, top, heads, tokens, d)
    return taken.permute(0, 3, 1, 2, 4, 5).reshape(batch, heads, count, choice.shape[-1] * tokens, width)


def split(states: Tensor, grid: tuple[int, int], regions: int) -> Tensor:
    """(batch, heads, regions^2, tokens of a region, d) of raster states (batch, heads, n, d)."""
    batch, heads, _, width = states.shape
    high, wide = grid[0] // regions, grid[1] // regions
    parted = states.reshape(batch, heads, regions, high, regions, wide, width)
    return parted.transpose(3, 4).reshape(batch, heads, regions**2, high * wide, width)


def join(states: Tensor, grid: tuple[int, int], regions: int) -> Tensor:
    """The inverse of `split`."""
    batch, heads, _, _, width = states.shape
    high, wide = grid[0] // regions, grid[1] // regions
    parted = states.reshape(batch, heads, regions, regions, high, wide, width)
    return parted.transpose(3, 4).reshape(batch, heads, grid[0] * grid[1], width)


def flops(tokens: int, width: int, regions: int, top: int) -> int:
    """Of one attention over all heads, `width` wide together: 2 a multiply-add, of the regions' affinity and
    of each token with the tokens of `top` regions. `regions` 1, `top` 1: dense."""
    affinity = 2 * regions**4 * width if top < regions**2 else 0
    return affinity + 4 * tokens * (top * tokens // regions**2) * width

"""LUVC (arXiv 2512.09010): merging along one spatial axis after the other, then spectral pruning to nothing.

Only the abstract and reviews could be read, so cut-off, schedule and pairing are ours, and switchable:

merging     along an axis, the tokens of each line pair up (0 1)(2 3)..., or (1 2)(3 4)... on odd passes; in
            every line the `remove` most alike pairs become one token, their mean weighted by how many
            patches each already stands for. Every line loses the same number, so the grid stays a grid.
            Passes alternate between the axes ("orthogonal").
spectrum    `low_pass` keeps the lowest `cutoff` share of the frequencies along the sequence. A token scores
            by what remains of it ("smooth": where the coarse picture has its energy) or by what is lost
            ("detail": what the coarse picture does not tell). No attention is read.
schedule    tokens left at layer l fall linearly from all at `first` to none at the last layer, so the last
            layer reads text alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from models.compress.order import top

Score = Literal["smooth", "detail"]


@dataclass(frozen=True)
class Grid:
    """`tokens` (batch, height, width, channels); `sizes` (batch, height, width): patches each stands for."""

    tokens: Tensor
    sizes: Tensor

    @classmethod
    def of(cls, tokens: Tensor) -> Grid:
        """Unmerged."""
        return cls(tokens, tokens.new_ones(tokens.shape[:-1]))


def merge(grid: Grid, removals: list[int], odd: bool = False) -> Grid:
    """Pass after pass, `removals` tokens fewer in every line, columns first; [] or zeros change nothing."""
    for number, remove in enumerate(removals):
        grid = merge_axis(grid, remove, axis=2 - number % 2, odd=odd and number // 2 % 2 == 1)
    return grid


def merge_axis(grid: Grid, remove: int, axis: int, odd: bool = False) -> Grid:
    """One pass along `axis` (1: down, 2: across). Raises ValueError when there are fewer pairs."""
    if remove == 0:
        return grid
    if axis == 1:
        turned = Grid(grid.tokens.transpose(1, 2), grid.sizes.transpose(1, 2))
        merged = merge_axis(turned, remove, 2, odd)
        return Grid(merged.tokens.transpose(1, 2), merged.sizes.transpose(1, 2))
    first = torch.arange(int(odd), grid.sizes.shape[2] - 1, 2, device=grid.tokens.device)
    if remove > len(first):
        raise ValueError(f"{len(first)} pairs a line: {remove} cannot be merged")
    unit = functional.normalize(grid.tokens.float(), dim=-1)
    alike = (unit[:, :, first] * unit[:, :, first + 1]).sum(dim=-1)
    return _join(grid, first[top(alike, remove)])


def _join(grid: Grid, left: Tensor) -> Grid:
    """Join each token at `left` (batch, lines, pairs) with its right neighbour."""
    sizes = grid.sizes.clone()
    ours, theirs = grid.sizes.gather(2, left), grid.sizes.gather(2, left + 1)
    sizes.scatter_(2, left, ours + theirs)
    wide = left[..., None].expand(*left.shape, grid.tokens.shape[-1])
    weight = (theirs / (ours + theirs))[..., None].to(grid.tokens)
    mean = torch.lerp(grid.tokens.gather(2, wide), grid.tokens.gather(2, wide + 1), weight)
    gone = torch.zeros_like(sizes, dtype=torch.bool).scatter_(2, left + 1, True)
    batch, lines, length = sizes.shape
    shape = (batch, lines, length - left.shape[2])
    tokens = grid.tokens.scatter(2, wide, mean)[~gone].reshape(*shape, -1)
    return Grid(tokens, sizes[~gone].reshape(shape))


def low_pass(tokens: Tensor, cutoff: float) -> Tensor:
    """(..., n, channels) with only the lowest `cutoff` share (0 to 1) of the frequencies along n; 1: all."""
    spectrum = torch.fft.rfft(tokens.float(), dim=-2)
    kept = max(1, round(cutoff * spectrum.shape[-2]))
    spectrum[..., kept:, :] = 0
    smooth: Tensor = torch.fft.irfft(spectrum, n=tokens.shape[-2], dim=-2)
    return smooth


def spectral_scores(tokens: Tensor, cutoff: float = 0.25, score: Score = "detail") -> Tensor:
    """(..., n) of tokens (..., n, channels): the norm of what the low-pass keeps, or of what it loses."""
    smooth = low_pass(tokens, cutoff)
    read = smooth if score == "smooth" else tokens.float() - smooth
    norms: Tensor = torch.linalg.vector_norm(read, dim=-1)
    return norms


def spectral_select(tokens: Tensor, count: int, cutoff: float = 0.25, score: Score = "detail") -> Tensor:
    """Sorted indices (..., count) of the tokens that stay."""
    if count == 0:
        return torch.zeros(*tokens.shape[:-2], 0, dtype=torch.long, device=tokens.device)
    return top(spectral_scores(tokens, cutoff, score), count)


def schedule(layers: int, tokens: int, first: int) -> list[int]:
    """Visual tokens entering each layer: all up to `first`, then evenly fewer, none in the last.

    `first` = `layers` keeps everything everywhere. Raises ValueError outside 1..layers.
    """
    if not 1 <= first <= layers:
        raise ValueError(f"pruning starts at layer 1 to {layers}, not {first}")
    falling = layers - first
    return [tokens if at < first else round(tokens * (layers - 1 - at) / falling) for at in range(layers)]

"""LUVC (arXiv 2512.09010): merging along one spatial axis after the other, then spectral pruning to nothing.

Only the abstract and reviews could be read, so cut-off, schedule and pairing are ours:

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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from models.compress.counts import part
from models.compress.interface import Kept, View
from models.compress.order import top
from models.compress.step import Step

Score = Literal["smooth", "detail"]


@dataclass(frozen=True)
class Grid:
    """`tokens` (batch, height, width, channels); `sizes` (float32) and `origin` (batch, height, width): how
    many patches each stands for, and the raster index of the first of them."""

    tokens: Tensor
    sizes: Tensor
    origin: Tensor

    @classmethod
    def of(cls, tokens: Tensor) -> Grid:
        """Unmerged."""
        batch, height, width, _ = tokens.shape
        origin = torch.arange(height * width, device=tokens.device).reshape(1, height, width)
        sizes = torch.ones(tokens.shape[:-1], device=tokens.device)
        return cls(tokens, sizes, origin.expand(batch, -1, -1))

    def turned(self) -> Grid:
        """Rows for columns."""
        return Grid(self.tokens.transpose(1, 2), self.sizes.transpose(1, 2), self.origin.transpose(1, 2))


def merge_axis(grid: Grid, remove: int, axis: int, odd: bool = False) -> Grid:
    """One pass along `axis` (1: down, 2: across). Raises ValueError when there are fewer pairs."""
    if remove == 0:
        return grid
    if axis == 1:
        return merge_axis(grid.turned(), remove, 2, odd).turned()
    first = torch.arange(int(odd), grid.sizes.shape[2] - 1, 2, device=grid.tokens.device)
    if remove > len(first):
        raise ValueError(f"{len(first)} pairs a line: {remove} cannot be merged")
    return _join(grid, first[top(_alike(grid, first), remove)])


def _alike(grid: Grid, first: Tensor) -> Tensor:
    """(batch, lines, pairs) cosine of each token at `first` and its right neighbour."""
    unit = functional.normalize(grid.tokens.float(), dim=-1)
    return (unit[:, :, first] * unit[:, :, first + 1]).sum(dim=-1)


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
    return Grid(tokens, sizes[~gone].reshape(shape), grid.origin[~gone].reshape(shape))


def squeeze(
    tokens: Tensor, grid: tuple[int, int], count: int, sizes: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """(index (count,), features (count, channels), sizes (count,)) of `tokens` (rows * columns, channels),
    which already stand for `sizes` patches each (None: for one).

    One pair a line and pass, across and down in turn, as long as a whole pass fits; then the most alike pairs
    of what is left, at most one a line, so that exactly `count` remain. `index` is increasing: each token
    stands where the first of its patches stood.
    """
    found = Grid.of(tokens.reshape(1, *grid, -1))
    if sizes is not None:
        found = replace(found, sizes=sizes.reshape(1, *grid))
    turn = 0
    while (axis := _next_axis(found, turn, count)) is not None:
        length = found.sizes.shape[axis]
        found = merge_axis(found, 1, axis, odd=turn // 2 % 2 == 1 and length > 2)
        turn += 1
    features, sizes, origin = _last_pairs(found, turn, found.sizes.numel() - count)
    order = origin.argsort()
    return origin[order], features[order], sizes[order]


def _next_axis(grid: Grid, turn: int, count: int) -> int | None:
    """The axis whose turn it is, or the other one, along which one fewer a line leaves `count` or more."""
    for axis in (2 - turn % 2, 1 + turn % 2):
        lines = grid.sizes.numel() // grid.sizes.shape[axis]
        if grid.sizes.shape[axis] > 1 and grid.sizes.numel() - lines >= count:
            return axis
    return None


def _last_pairs(grid: Grid, turn: int, remove: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features, sizes and origin, flat, after `remove` lines have each joined their most alike pair."""
    turned = grid.sizes.shape[2] < 2 or (turn % 2 == 1 and remove <= grid.sizes.shape[2] < grid.sizes.numel())
    if remove and turned:
        grid = grid.turned()
    features, sizes, origin = grid.tokens.flatten(0, 2), grid.sizes.flatten(), grid.origin.flatten()
    if not remove:
        return features, sizes, origin
    width = grid.sizes.shape[2]
    best = _alike(grid, torch.arange(width - 1, device=sizes.device))[0].max(dim=1)
    lines = top(best.values, remove)
    left = lines * width + best.indices[lines]
    both = sizes[left] + sizes[left + 1]
    weight = (sizes[left + 1] / both)[:, None].to(features)
    features = features.index_copy(0, left, torch.lerp(features[left], features[left + 1], weight))
    stays = torch.ones_like(sizes, dtype=torch.bool).index_fill(0, left + 1, False)
    return features[stays], sizes.index_copy(0, left, both)[stays], origin[stays]


def choose(views: Sequence[View], step: Step) -> list[Kept]:
    """The step "luvc SHARE [count=true]", of the kind prune: each view's visual tokens merged before the
    language model, and counted by its attention as often as there are tokens in them.

    The paper merges inside the encoder; after it the encoder needs no change, and saves nothing.
    """
    kept, counts = [], step.switch("count", True)
    for view in views:
        count = part(len(view.features), step.kept)
        if count == len(view.features):
            kept.append(Kept(torch.arange(count, device=view.features.device)))
        else:
            index, features, sizes = squeeze(view.features, view.grid, count, view.sizes)
            kept.append(Kept(index, features, sizes if counts else None))
    return kept


class Stages:
    """The step "luvc_stages DEPTH", an `Inside`: all visual tokens for that share of the layers, then evenly
    fewer, none in the last one. A depth of 1 keeps everything."""

    watched: frozenset[int] = frozenset()
    window = 1

    def __init__(self, first: int, layers: int, cutoff: float, score: Score) -> None:
        self._first, self._layers, self._cutoff, self._score = first, layers, cutoff, score
        self._counts: list[int] = []

    def at(self, layer: int, hidden: Tensor, attention: Mapping[int, Tensor], place: Tensor) -> Tensor | None:
        if layer < self._first:
            return None
        if layer == self._first:
            self._counts = schedule(self._layers, place.shape[1], self._first)
        count = self._counts[layer]
        if count == place.shape[1]:
            return None
        seen = hidden.gather(1, place[..., None].expand(-1, -1, hidden.shape[-1]))
        return spectral_select(seen, count, self._cutoff, self._score)


def create(step: Step, layers: int, least: int) -> Stages:
    """Raises ValueError for a cut-off outside (0, 1]."""
    cutoff = step.number("cutoff", 0.25)
    if not 0 < cutoff <= 1:
        raise ValueError(f"{step}: cutoff is a share of the frequencies in (0, 1]")
    score: Score = "smooth" if step.word("score", ("detail", "smooth")) == "smooth" else "detail"
    return Stages(max(least, round(step.kept * layers)), layers, cutoff, score)


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

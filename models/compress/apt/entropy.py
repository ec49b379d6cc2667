"""Entropy in bits of the histogram of each cell of an image: what is flat can be one token."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from models import kernels

BINS = 512
PLANES = (
    (0.2989, 0.5870, 0.1140),
    (-0.168736, -0.331264, 0.5),
    (0.5, -0.418688, -0.081312),
)


def planes(pixels: Tensor, colour: bool = True) -> Tensor:
    """(batch, 3, h, w) luma and both chromas of RGB `pixels` (batch, 3, h, w), all in [0, 255]; luma alone
    (batch, 1, h, w) without `colour`."""
    weights = torch.tensor(PLANES[: 3 if colour else 1], device=pixels.device)
    mixed = torch.einsum("pc,bchw->bphw", weights, pixels.float())
    mixed[:, 1:] += 128
    return mixed


def entropies(pixels: Tensor, patch: int, scales: int, bins: int = BINS, colour: bool = True) -> list[Tensor]:
    """(batch, h // side, w // side) bits of the cells of side `patch` * 2^i, for i = 1 to `scales` - 1.

    `pixels` as in `planes`. The largest over the planes. A cell that sticks out of the image does not exist.
    Each pixel is read once: coarser histograms are sums of four finer ones. On a GPU with Triton a kernel
    counts; a pixel between two bins may then fall into the other one.
    """
    sides = [patch << scale for scale in range(1, scales)]
    if not sides:
        return []
    if kernels.missing(pixels.device.type) is None:
        from models.kernels import entropy

        if all(entropy.takes(side, bins) for side in sides):
            return [entropy.entropies(pixels, side, bins, colour) for side in sides]
    counts = histograms(planes(pixels, colour), 2 * patch, bins)
    found = [bits(counts).amax(dim=1)]
    for _ in sides[1:]:
        counts = coarser(counts)
        found.append(bits(counts).amax(dim=1))
    return found


def histograms(values: Tensor, side: int, bins: int = BINS) -> Tensor:
    """(batch, planes, h // side, w // side, bins) int64 counts of `values` in [0, 255] over equal bins."""
    batch, count, height, width = values.shape
    rows, columns = height // side, width // side
    whole = values[..., : rows * side, : columns * side]
    level = (whole * (bins / 255)).long().clamp(0, bins - 1)
    across = torch.arange(columns * side, device=values.device) // side
    down = torch.arange(rows * side, device=values.device) // side
    cell = down[:, None] * columns + across
    first = torch.arange(batch * count, device=values.device).reshape(batch, count, 1, 1) * (rows * columns)
    flat = ((first + cell) * bins + level).flatten()
    total = batch * count * rows * columns * bins
    return torch.bincount(flat, minlength=total).reshape(batch, count, rows, columns, bins)


def coarser(counts: Tensor) -> Tensor:
    """Histograms of cells of twice the side; a ragged last row or column of cells is dropped."""
    batch, planes_, rows, columns, bins = counts.shape
    even = counts[:, :, : rows // 2 * 2, : columns // 2 * 2]
    return even.reshape(batch, planes_, rows // 2, 2, columns // 2, 2, bins).sum(dim=(3, 5))


def bits(counts: Tensor) -> Tensor:
    """-sum p log2 p over the last axis; every histogram holds the same number of pixels."""
    if not counts.numel():
        return counts.new_zeros(counts.shape[:-1], dtype=torch.float32)
    pixels = int(counts[(0,) * (counts.ndim - 1)].sum())
    products = _products(pixels).to(counts.device)
    return math.log2(pixels) - products[counts].sum(dim=-1) / pixels


@lru_cache(maxsize=8)
def _products(most: int) -> Tensor:
    """n log2 n for n = 0 to `most`."""
    numbers = torch.arange(most + 1, dtype=torch.float64)
    return (numbers * numbers.clamp(min=1).log2()).float()

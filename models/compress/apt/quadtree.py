"""Which cells of an image become one token each: coarse first, every pixel covered once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Partition:
    """`masks[i]` (batch, rows, columns) bool: which cells of side patch * 2^i are a token. `masks[0]` has the
    grid of base patches; coarser ones the cells that fit into it."""

    masks: tuple[Tensor, ...]

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of base patches."""
        rows, columns = self.masks[0].shape[1:]
        return rows, columns

    def counts(self) -> Tensor:
        """(batch,) tokens of each image."""
        return torch.stack([mask.flatten(1).sum(dim=1) for mask in self.masks]).sum(dim=0)


def divide(
    entropies: Sequence[Tensor],
    thresholds: Sequence[float],
    grid: tuple[int, int],
    forced: Tensor | None = None,
    strict: bool = False,
) -> Partition:
    """`entropies` and `thresholds` (bits) of scales 1, 2, ...: a cell below its threshold is one token.

    Published for patches of 16: 5.75 for 32 px, 4.0 for 64 px, on luma. A threshold of -1 merges nothing.
    `forced` (batch, rows, columns) of the base `grid`: patches that stay base patches. `strict`: a cell is
    merged only if all smaller cells in it would be; without it (as published) a large, mostly flat cell
    swallows a small detailed one.
    """
    batch = len(entropies[0]) if entropies else len(forced) if forced is not None else 1
    device = entropies[0].device if entropies else None
    taken = torch.zeros(batch, *grid, dtype=torch.bool, device=device)
    held = taken if forced is None else forced.to(taken.device)
    flat: list[Tensor] = []
    for scale, (bits, threshold) in enumerate(zip(entropies, thresholds, strict=True), start=1):
        if strict and flat:
            held = held | _spread(~flat[-1], scale - 1, grid)
        flat.append((bits < threshold) & ~_any(held, scale))
    masks: list[Tensor] = []
    for scale in range(len(flat), 0, -1):
        masks.append(flat[scale - 1] & ~_any(taken, scale))
        taken = taken | _spread(masks[-1], scale, grid)
    return Partition((~taken, *reversed(masks)))


def forced_by_boxes(
    boxes: Sequence[Sequence[Box]], size: tuple[int, int], patch: int, margin: float = 0.5
) -> Tensor:
    """(batch, rows, columns): base patches that meet a box (left, top, right, bottom, in pixels of the image
    of `size` height, width), each box widened by `margin` patches to every side."""
    rows, columns = size[0] // patch, size[1] // patch
    forced = torch.zeros(len(boxes), rows, columns, dtype=torch.bool)
    reach = margin * patch
    for image, found in enumerate(boxes):
        for left, top, right, bottom in found:
            x, y = max(0, int((left - reach) // patch)), max(0, int((top - reach) // patch))
            forced[image, y : int((bottom + reach) // patch) + 1, x : int((right + reach) // patch) + 1] = (
                True
            )
    return forced


def forced_band(grid: tuple[int, int], top: float, bottom: float) -> Tensor:
    """(1, rows, columns): the rows between two shares of the height, such as around the horizon, where what
    is far away is small."""
    forced = torch.zeros(1, *grid, dtype=torch.bool)
    forced[:, round(top * grid[0]) : round(bottom * grid[0])] = True
    return forced


def _spread(mask: Tensor, scale: int, grid: tuple[int, int]) -> Tensor:
    """A mask of cells as a mask of base patches."""
    wide = mask.repeat_interleave(2**scale, dim=1).repeat_interleave(2**scale, dim=2)
    whole = torch.zeros(len(mask), *grid, dtype=torch.bool, device=mask.device)
    whole[:, : wide.shape[1], : wide.shape[2]] = wide
    return whole


def _any(base: Tensor, scale: int) -> Tensor:
    """Which whole cells of `scale` hold any of the base patches that are set."""
    side = 2**scale
    rows, columns = base.shape[1] // side, base.shape[2] // side
    cut = base[:, : rows * side, : columns * side]
    return cut.reshape(len(base), rows, side, columns, side).any(dim=4).any(dim=2)

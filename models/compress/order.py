"""Choosing by score in one way everywhere: ties go to the earlier token, and what is kept stays in order."""

from __future__ import annotations

import torch
from torch import Tensor


def top(scores: Tensor, count: int) -> Tensor:
    """(..., count) sorted indices of the `count` highest of `scores` (..., n); a tie keeps the earlier one.

    Raises ValueError when there are not that many.
    """
    if not 0 <= count <= scores.shape[-1]:
        raise ValueError(f"{count} of {scores.shape[-1]} tokens cannot be kept")
    order = torch.sort(scores, dim=-1, descending=True, stable=True).indices
    return order[..., :count].sort(dim=-1).values


def share(total: int, weights: list[int], most: int) -> list[int]:
    """`total` split in proportion to `weights`, at most `most` each: largest remainders, ties to the earlier.

    What a full one cannot take goes to the next in order. Raises ValueError when it does not fit.
    """
    if not 0 <= total <= most * len(weights):
        raise ValueError(f"{total} do not fit {len(weights)} times {most}")
    exact = [total * weight / sum(weights) for weight in weights]
    parts = [min(most, int(each)) for each in exact]
    order = sorted(range(len(weights)), key=lambda place: (parts[place] - exact[place], place))
    while (left := total - sum(parts)) > 0:
        for place in [each for each in order if parts[each] < most][:left]:
            parts[place] += 1
    return parts

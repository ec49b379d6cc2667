"""Choosing by score in one way everywhere: ties go to the earlier token, and what is kept stays in order."""

from __future__ import annotations

from collections.abc import Sequence

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


def share(total: int, weights: Sequence[int], most: Sequence[int]) -> list[int]:
    """`total` split in proportion to `weights`, 1 to `most` each: largest remainders, ties to the earlier.

    What a full one cannot take goes to the others. Raises ValueError when it does not fit.
    """
    if not len(most) <= total <= sum(most):
        raise ValueError(f"{total} tokens do not fit views of {list(most)}, each with one at least")
    exact = [total * weight / sum(weights) for weight in weights]
    parts = [min(cap, max(1, int(each))) for each, cap in zip(exact, most, strict=True)]
    while sum(parts) != total:
        step = 1 if sum(parts) < total else -1
        free = [at for at, part in enumerate(parts) if (part < most[at] if step > 0 else part > 1)]
        parts[max(free, key=lambda at: (step * (exact[at] - parts[at]), -at))] += step
    return parts

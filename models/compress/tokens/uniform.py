"""Every n-th token: the control that sees nothing and covers everything."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.compress.counts import part
from models.compress.interface import Kept, View
from models.compress.step import Step


def choose(views: Sequence[View], step: Step) -> list[Kept]:
    """`part(n, share)` of each view's n tokens at equal strides, half a stride from both ends."""
    return [Kept(spread(len(view.features), part(len(view.features), step.kept))) for view in views]


def spread(tokens: int, kept: int) -> Tensor:
    """[kept] int64: floor((i + 1/2) * tokens / kept); strictly increasing since tokens >= kept."""
    return (2 * torch.arange(kept) + 1) * tokens // (2 * kept)

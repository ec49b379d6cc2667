"""Which view each token of a prompt belongs to, and who sees whom when views do not see each other."""

from __future__ import annotations

import torch
from torch import Tensor


def segments(length: int, visual: Tensor, views: tuple[int, ...]) -> Tensor:
    """[length] int32 of a prompt whose visual tokens stand at `visual`, `views` of them to each view in
    order: 0 for text, the view's number from 1 for its tokens."""
    found = torch.zeros(length, dtype=torch.int32, device=visual.device)
    numbers = torch.arange(1, len(views) + 1, dtype=torch.int32)
    found[visual] = torch.repeat_interleave(numbers, torch.tensor(views, dtype=torch.int32)).to(found)
    return found


def allowed(view: Tensor) -> Tensor:
    """[N, N] bool of segments [N]: who (row) sees whom. Causal; a view's tokens see text and their own."""
    query, key = view[:, None], view[None]
    kin = (query == 0) | (key == 0) | (query == key)
    return torch.ones_like(kin).tril() & kin

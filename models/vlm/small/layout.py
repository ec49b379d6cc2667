"""The sequence's layout: question, views, answer; who may look at whom, and at which position each stands.

Every view starts at the same position, right after the question, and sees the question and itself alone. So
the order of the cameras changes nothing, and a camera that is absent is absent: the answer simply has fewer
blocks to look at.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """`mask` (batch, 1, length, length) bool, True where a row may look; `positions` (batch, length)."""

    mask: Tensor
    positions: Tensor


def lay_out(present: Tensor, question: int, view: int, answer: int) -> Layout:
    """`present` (batch, views) bool: which of the views, padded to a common number, are there.

    `question`, `view` and `answer` are tokens of the question, of one view, and of the answer as far as it is
    known. A padded view looks at itself and the question, and nobody looks at it.
    """
    batch, views = present.shape
    device = present.device
    kind = torch.cat(  # 0 the question, 1.. the views, -1 the answer
        [
            torch.zeros(question, dtype=torch.long, device=device),
            torch.arange(1, views + 1, device=device).repeat_interleave(view),
            torch.full((answer,), -1, dtype=torch.long, device=device),
        ]
    )
    length = len(kind)
    causal = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    same, first, last = kind[:, None] == kind[None, :], kind[None, :] == 0, kind[:, None] == -1
    seen = causal & (same | first | last)
    blocks = torch.cat([torch.ones(batch, 1, dtype=torch.bool, device=device), present], dim=1)
    visible = torch.where(kind[None, :] >= 0, blocks[:, kind.clamp(min=0)], True)
    own = torch.eye(length, dtype=torch.bool, device=device) | (same & (kind >= 1)[:, None] & causal)
    mask = seen[None] & (visible[:, None, :] | own[None])
    within = torch.cat(
        [
            torch.arange(question, device=device),
            question + torch.arange(view, device=device).repeat(views),
            question + view + torch.arange(answer, device=device),
        ]
    )
    return Layout(mask[:, None], within.expand(batch, -1))

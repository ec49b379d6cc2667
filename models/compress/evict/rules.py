"""What all evictions here share: who may go, how many stay, and that ties go to the earlier token.

The share kept is one of the visual tokens. Text, the first `sinks` tokens and the last `window` stay in any
case; visual tokens among those count towards the share. Layer 0 keeps all: transformers counts positions by
it. A kept key keeps the position it was turned by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from models.compress.counts import part
from models.compress.interface import Marks
from models.compress.order import top
from models.compress.step import Step

EVERY = 1 << 30
"""A window that no prompt fills: all of its queries."""


@dataclass(frozen=True)
class Rules:
    """`share` of the visual tokens kept, in (0, 1]; `sinks` first and `recent` last tokens that always
    stay."""

    share: float
    sinks: int
    recent: int

    @classmethod
    def of(cls, step: Step, sinks: int, recent: int) -> Rules:
        """Raises ValueError for numbers below zero."""
        ours = cls(step.kept, step.whole("sinks", sinks), step.whole("recent", recent))
        if ours.sinks < 0 or ours.recent < 0:
            raise ValueError(f"{step}: sinks and recent are numbers of tokens, not below zero")
        return ours

    def kept(self, scores: Tensor, marks: Marks) -> Tensor | None:
        """[B, Hkv, m] increasing, by scores [B, Hkv, N] of all tokens, those of text unread; None: all
        stay."""
        visual = marks.visual.to(scores.device)
        places = torch.arange(marks.length, device=scores.device)
        safe = (places < self.sinks) | (places >= marks.length - self.recent)
        count = max(part(len(visual), self.share), int(safe[visual].sum()))
        if count >= len(visual):
            return None
        ranked = scores.float()[..., visual].masked_fill(safe[visual], torch.inf)
        chosen = visual[top(ranked, count)]
        stays = torch.ones(*scores.shape, dtype=torch.bool, device=scores.device)
        stays[..., visual] = False
        stays.scatter_(2, chosen, True)
        return stays.nonzero()[:, 2].view(*scores.shape[:2], -1)


def received(attention: Tensor, heads: int) -> Tensor:
    """[B, Hkv, N] attention that tokens received of weights [B, H, w, N]: summed over queries, and over the
    query heads that share a KV head."""
    return attention.float().sum(2).reshape(len(attention), heads, -1, attention.shape[-1]).sum(2)


def summed(attention: Mapping[int, Tensor], layers: frozenset[int]) -> Tensor:
    """[B, N] attention received in these layers together: over heads and queries."""
    total = [attention[layer].float().sum((1, 2)) for layer in sorted(layers)]
    return torch.stack(total).sum(0)

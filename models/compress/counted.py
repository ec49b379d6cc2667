"""Merged tokens counted: attention adds to a key's scores the log of how many tokens it stands for.

Proportional attention, of Bolya et al., "Token Merging" (arXiv 2210.09461): equal tokens may then be one and
nobody who looks at them notices. Where nothing was merged nothing is added, and attention is untouched.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from models.compress.attention import lower_right
from models.compress.interface import Kept


def of_scene(kept: Sequence[Kept]) -> Tensor | None:
    """[v] how many tokens each kept one of a scene's views stands for; None where nothing was merged."""
    if all(one.sizes is None for one in kept):
        return None
    return torch.cat([torch.ones_like(one.index).float() if one.sizes is None else one.sizes for one in kept])


def of_batch(sizes: Sequence[Tensor | None]) -> Tensor | None:
    """[B, v] of scenes that keep equally many; None where nothing was merged in any of them."""
    some = next((one for one in sizes if one is not None), None)
    if some is None:
        return None
    return torch.stack([torch.ones_like(some) if one is None else one for one in sizes])


def weights(sizes: Tensor, visual: Tensor, length: int) -> Tensor:
    """[B, 1, length] log sizes of a prompt's keys: of `visual` tokens [v] by `sizes` [B, v], of text 0."""
    found = torch.zeros(len(sizes), length, device=sizes.device)
    found[:, visual] = sizes.clamp(min=1).log()
    return found[:, None]


def grown(weight: Tensor, said: int, keys: int) -> Tensor:
    """[B, ., keys] after `said` tokens more, which stand for themselves; a layer that forgets the earliest
    has fewer."""
    return pad(weight, (0, said))[..., -keys:]


def add(mask: Tensor | None, weight: Tensor, query: Tensor, keys: int) -> Tensor:
    """An additive mask [B, 1 or H, N, keys] of a mask (bool, additive, or None: causal) and of weights
    [B, 1 or Hkv, keys]; `query` [B, H, N, d]."""
    if weight.shape[1] > 1:
        weight = weight.repeat_interleave(query.shape[1] // weight.shape[1], dim=1)
    more = weight[:, :, None].to(query.dtype)
    seen = lower_right(query.shape[2], keys, query.device) if mask is None else mask
    return torch.where(seen, more, -torch.inf) if seen.dtype == torch.bool else seen + more

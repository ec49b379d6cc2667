"""int4: keys and values in four-bit integers with a minimum and a step by group: 4 + 32 / group bits an
element.

Groups lie along the head dimension, within one token, so tokens can be appended; 64 wide (or the head, if it
is narrower) they take exactly what NVFP4 takes, which makes this its peer. Minimum and step are FP16; a step
of zero (a constant group) reads back as the minimum.

    step = fp16((max - min) / 15); code = clamp(round((x - fp16(min)) / step), 0, 15); x' = fp16(min) + code *
    step
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import Cache

from models.compress.caches.layer import Parts, ReadBack, cache_of
from models.compress.packing import codes_of, nibbles
from models.compress.step import Step

LEVELS = 15


class Int4(ReadBack):
    def __init__(self, group: int = 64) -> None:
        self._group = group

    def freeze(self, states: Tensor) -> None:
        return None

    def encode(self, states: Tensor, scale: Tensor | None) -> Parts:
        """Codes [..., d / 2], minima and steps [..., groups]. Raises ValueError when groups do not fill d."""
        width = states.shape[-1]
        group = min(self._group, width)
        if width % group or width % 2:
            raise ValueError(f"int4: groups of {group} do not fill a head of {width}: choose another group")
        groups = states.float().reshape(*states.shape[:-1], width // group, group)
        low = groups.amin(-1).half()
        step = ((groups.amax(-1) - low.float()) / LEVELS).half()
        divisor = torch.where(step > 0, step, torch.ones_like(step)).float()
        codes = ((groups - low.float()[..., None]) / divisor[..., None]).round().clamp(0, LEVELS)
        return nibbles(codes.flatten(-2).to(torch.uint8)), low, step

    def decode(self, parts: Parts, scale: Tensor | None, dtype: torch.dtype) -> Tensor:
        codes, low, step = parts
        groups = codes_of(codes).float().reshape(*low.shape, -1)
        return (low.float()[..., None] + groups * step.float()[..., None]).flatten(-2).to(dtype)


def create(step: Step, layers: int) -> Cache:
    """Raises ValueError for a group that is not positive, and at the first update (which `plan` tries) for
    one that does not fill the head dimension."""
    group = step.whole("group", 64)
    if group < 1:
        raise ValueError(f"{step}: a group has at least one element, not {group}")
    return cache_of(Int4(group), layers)

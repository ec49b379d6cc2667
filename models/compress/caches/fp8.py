"""fp8: keys and values in FP8 E4M3, one FP32 scale a token and head: 8 + 32 / d bits an element.

The scale is each token's own (amax / 448), so nothing is frozen and nothing clips; transformers' own FP8
layer has one a tensor instead, frozen at the first update.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import Cache

from models.compress.caches.layer import Parts, ReadBack, cache_of
from models.compress.packing import fp8_rows
from models.compress.step import Step


class Fp8(ReadBack):
    def freeze(self, states: Tensor) -> None:
        return None

    def encode(self, states: Tensor, scale: Tensor | None) -> Parts:
        codes, own = fp8_rows(states)
        return codes.view(torch.uint8), own

    def decode(self, parts: Parts, scale: Tensor | None, dtype: torch.dtype) -> Tensor:
        codes, own = parts
        return (codes.view(torch.float8_e4m3fn).float() * own).to(dtype)


def create(step: Step, layers: int) -> Cache:
    return cache_of(Fp8(), layers)

"""nvfp4: keys and values in NVFP4, packed: 4.5 bits an element, 3.56 times less than BF16.

`scale` says where the tensor scale g comes from. "first": frozen at the first update, of each row and layer,
for keys and values apart: amax / (6 * 448) of what came then; a later block whose largest value is above that
amax is clipped to it. "cast": g = 1/6 always, as of an amax of 448, so nothing has to be measured; blocks
below 2^-6 lose bits. As the block scale follows each block within E4M3's range, the choice hardly matters for
usual keys.

Elsewhere this format needs a GPU that knows it (compute capability 10); here it is storage: read back in the
model's own precision at every step, by a Triton kernel on a GPU, by PyTorch on a CPU. It saves bytes, not
time.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import Cache

from models import kernels
from models.compress.caches import e2m1
from models.compress.caches.layer import Parts, cache_of
from models.compress.step import Step


class Nvfp4:
    """`cast`: the tensor scale is 1/6 and not measured."""

    def __init__(self, cast: bool = False) -> None:
        self._cast = cast

    def freeze(self, states: Tensor) -> Tensor:
        if not self._cast:
            return e2m1.tensor_scale(states)
        return torch.full((len(states), 1, 1, 1), 1 / e2m1.LARGEST, device=states.device)

    def encode(self, states: Tensor, scale: Tensor | None) -> Parts:
        assert scale is not None
        if kernels.missing(states.device.type) is None:
            from models.kernels.nvfp4 import pack

            return pack(states, scale)
        return e2m1.encode(states, scale)

    def decode(self, parts: Parts, scale: Tensor | None, dtype: torch.dtype) -> Tensor:
        assert scale is not None
        codes, scales = parts
        if kernels.missing(codes.device.type) is None:
            from models.kernels.nvfp4 import unpack

            return unpack(codes, scales, scale, dtype)
        return e2m1.decode(codes, scales, scale, dtype)


def create(step: Step, layers: int) -> Cache:
    """Raises ValueError for a scale it does not know, and at the first update for a head dimension that is no
    multiple of 16."""
    return cache_of(Nvfp4(step.word("scale", ("first", "cast")) == "cast"), layers)

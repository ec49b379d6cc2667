"""nvfp4: keys and values in NVFP4, packed: 4.5 bits an element, 3.56 times less than BF16.

`scale` says where the tensor scale g comes from. "first": frozen at the first update, of each row and layer,
for keys and values apart: amax / (6 * 448) of what came then; a later block whose largest value is above that
amax is clipped to it. "cast": g = 1/6 always, as of an amax of 448, so nothing has to be measured; blocks
below 2^-6 lose bits. As the block scale follows each block within E4M3's range, the choice hardly matters for
usual keys.

Elsewhere this format needs a GPU that knows it (compute capability 10); here it is storage: read back in the
model's own precision at every step, by a Triton kernel on a GPU, by PyTorch on a CPU. It saves bytes, not
time. With `packed=true` it is not read back: a kernel attends to the packed keys and values themselves, where
there is one (Triton on a GPU, heads of 32 to 256, no mask); elsewhere it is read back as ever.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import Cache

from models import kernels
from models.compress.caches import e2m1
from models.compress.caches.layer import Held, Parts, cache_of
from models.compress.step import Step


class Nvfp4:
    """`cast`: the tensor scale is 1/6 and not measured; `packed`: attention is handed the packed states."""

    def __init__(self, cast: bool = False, packed: bool = False) -> None:
        self._cast, self._packed = cast, packed

    def lend(self, held: Held) -> Any:
        return PackedStates(held) if self._packed else held.read()

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


class PackedStates:
    """Keys or values of a layer as they are stored, an `attention.Unread`."""

    def __init__(self, held: Held) -> None:
        self._held = held
        codes, scales = held.parts
        self.shape = torch.Size((*codes.shape[:-1], 2 * codes.shape[-1]))
        assert held.scale is not None
        self.packed = codes, scales, held.scale

    def read(self) -> Tensor:
        return self._held.read()

    def attend(self, query: Tensor, value: Any, scaling: float | None) -> Tensor | None:
        """[B, N, H, d] of query [B, H, N, d], the last N tokens of these keys; None: no kernel does it."""
        if kernels.missing(query.device.type) is not None:
            return None
        from models.kernels import packed

        rows = query.shape[1] // self.shape[1] * query.shape[2]
        if self.shape[-1] not in packed.WIDTHS or rows > packed.MOST_ROWS:
            return None
        return packed.attend(query, self.packed, value.packed, scaling).transpose(1, 2)


def create(step: Step, layers: int) -> Cache:
    """Raises ValueError for a scale it does not know, and at the first update (which `plan` tries) for a head
    dimension that is no multiple of 16."""
    cast = step.word("scale", ("first", "cast")) == "cast"
    return cache_of(Nvfp4(cast, step.switch("packed", False)), layers)

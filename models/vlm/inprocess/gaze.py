"""What the vision encoder looked at: for steps that rank visual tokens by the encoder's attention.

Encoders whose blocks attend over a whole picture are watched in their last but one block: the class token's
row where there is one, else the attention that each patch receives from all, summed over heads. Encoders that
attend in windows (Qwen2.5-VL) are not: they have no such row.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from models.compress.attention import NAME, install, plain, watched

LAST_BUT_ONE = -2


class Gaze:
    """A `models.compress.attention.Watcher` of the encoder. `seen` [pictures, patches] after a look, None
    when there is nothing to be had; `keys` [pictures, patches, d] mean over heads."""

    def __init__(self, blocks: int) -> None:
        self._watched = max(0, blocks + LAST_BUT_ONE)
        self._order: list[nn.Module] = []
        self.seen: Tensor | None = None
        self.keys: Tensor | None = None

    def attend(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **kwargs: Any
    ) -> tuple[Tensor, None]:
        if module not in self._order:
            self._order.append(module)
        if self._order[-1] is module and len(self._order) == self._watched + 1 and mask is None:
            self._note(query, key, kwargs.get("scaling"))
        return plain(module, query, key, value, mask, **kwargs)

    def _note(self, query: Tensor, key: Tensor, scaling: float | None) -> None:
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        weights = (query.float() @ key.float().transpose(-1, -2) * scale).softmax(-1)
        side = round((query.shape[2] - 1) ** 0.5)
        if side * side == query.shape[2] - 1:
            self.seen, self.keys = weights[:, :, 0, 1:].sum(1), key[:, :, 1:].mean(1)
        else:
            self.seen, self.keys = weights.sum(dim=(1, 2)), key.mean(1)


def ready(encoder: Any) -> int | None:
    """Have the encoder's attention watched from now on; its number of blocks, None where that is not to be
    had."""
    config = getattr(encoder, "config", None)
    blocks = getattr(config, "num_hidden_layers", None)
    if blocks is None or getattr(config, "_attn_implementation", None) not in ("sdpa", NAME):
        return None
    install(encoder)
    return int(blocks)


@contextmanager
def gazing(blocks: int | None) -> Iterator[Gaze | None]:
    """While the encoder runs."""
    if blocks is None:
        yield None
        return
    gaze = Gaze(blocks)
    with watched(gaze):
        yield gaze


def of_tokens(patches: Tensor, tokens: int) -> list[Tensor | None]:
    """Per picture [tokens] or [tokens, d] of what was noted per patch [pictures, patches, ...]: the mean over
    each square of patches that became one token; None where the numbers do not fit."""
    side, cells = round(patches.shape[1] ** 0.5), round(tokens**0.5)
    if side * side != patches.shape[1] or cells * cells != tokens or side % cells:
        return [None] * len(patches)
    deep = patches.reshape(len(patches), cells, side // cells, cells, side // cells, -1).mean(dim=(2, 4))
    flat = deep.reshape(len(patches), tokens, *patches.shape[2:])
    return list(torch.unbind(flat))

"""Images of different numbers of tokens in one sequence, each attending to itself alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "streetvision_packed"
"""The attention's name among those of transformers; without `lengths` at work it is plain SDPA."""
_LENGTHS: ContextVar[tuple[int, ...] | None] = ContextVar("lengths", default=None)


@dataclass(frozen=True)
class Packed:
    """`states` (1, n, width) of all images, one after the other; `lengths` of each.

    `image`, `scale`, `row`, `column` (n,) say what each token stands for; `scale` -1 is a prefix such as the
    class token, of which every image has `prefixes`, first.
    """

    states: Tensor
    lengths: tuple[int, ...]
    image: Tensor
    scale: Tensor
    row: Tensor
    column: Tensor
    prefixes: int

    def with_states(self, states: Tensor) -> Packed:
        return replace(self, states=states)

    def images(self) -> list[Tensor]:
        """(length, width) of each image."""
        return list(torch.split(self.states[0], list(self.lengths)))

    def first(self) -> Tensor:
        """(images, width): each image's first token, the class token where there is one."""
        starts = torch.tensor((0, *self.lengths[:-1])).cumsum(0).to(self.states.device)
        return self.states[0, starts]

    def mean(self) -> Tensor:
        """(images, width): the mean over each image's patches, every token counted once."""
        if len(set(self.lengths)) == 1:
            return _parted(self.states[0], len(self.lengths))[:, self.prefixes :].mean(dim=1)
        return torch.stack([each[self.prefixes :].mean(dim=0) for each in self.images()])

    def dense(self, grid: tuple[int, int]) -> Tensor:
        """(images, rows, columns, width) of base patches: a large cell's token stands at each of its own."""
        rows, columns = grid
        whole = self.states.new_zeros(len(self.lengths), rows, columns, self.states.shape[-1])
        for scale in range(int(self.scale.max()) + 1):
            here = self.scale == scale
            image, row, column = (each[here] for each in (self.image, self.row, self.column))
            for step in range(4**scale):
                down, across = divmod(step, 2**scale)
                whole[image, (row << scale) + down, (column << scale) + across] = self.states[0, here]
        return whole


def _parted(states: Tensor, count: int) -> Tensor:
    """(count, n / count, ...) of (n, ...)."""
    return states.reshape(count, -1, *states.shape[1:])


@contextmanager
def segments(lengths: tuple[int, ...]) -> Iterator[None]:
    """Attention inside is block-diagonal over pieces of these lengths."""
    token = _LENGTHS.set(lengths)
    try:
        yield
    finally:
        _LENGTHS.reset(token)


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """As transformers' attention functions: states (1, heads, n, d) in, (1, n, heads, d) out.

    Pieces of equal length go as one batch, so that a uniform division is the plain model's own arithmetic.
    """
    lengths = _LENGTHS.get()
    if lengths is None:
        said: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **kwargs
        )
        return said
    scale = kwargs.get("scaling")
    if len(set(lengths)) == 1:
        q, k, v = (_batched(each, len(lengths)) for each in (query, key, value))
        found = scaled_dot_product_attention(q, k, v, scale=scale).transpose(1, 2)
        return found.reshape(1, -1, *found.shape[2:]), None
    cut = [torch.split(each, list(lengths), dim=2) for each in (query, key, value)]
    pieces = [scaled_dot_product_attention(q, k, v, scale=scale) for q, k, v in zip(*cut, strict=True)]
    return torch.cat(pieces, dim=2).transpose(1, 2), None


def _batched(states: Tensor, count: int) -> Tensor:
    """(count, heads, n / count, d) of (1, heads, n, d)."""
    return _parted(states[0].transpose(0, 1), count).transpose(1, 2)


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)

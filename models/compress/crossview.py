"""Attention in which views see little of each other, at prefill; text sees everything before it.

multiview         a view's tokens see the text before them and their own view: block-diagonal with shared
                  text. Each view is read as if it were alone, and what they mean together is for the text
                  after them.
spatial_temporal  as `multiview`, and the same place of the grid in views before: PureKV's mask for frames of
                  a film, as far as it is known (`models.compress.evict.purekv`); cameras are no frames.

Both are the plain attention, bit for bit, for a prompt with one view. On a GPU with Triton `multiview` skips
what is masked (`models.kernels.multiview`); elsewhere both are a mask, which saves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from models import kernels
from models.compress.attention import at_work, plain
from models.compress.evict.purekv import spatial_temporal_mask
from models.compress.interface import Attend, Marks
from models.compress.segments import allowed, segments
from models.compress.step import Step


def multiview(step: Step) -> Attend:
    return _Masked(own_view_mask, fused=True)


def spatial_temporal(step: Step) -> Attend:
    """At the first prompt raises ValueError when grids are not whole or not equal."""
    return _Masked(spatial_temporal_mask, fused=False)


def own_view_mask(marks: Marks) -> Tensor:
    """[N, N] bool, True where a query (row) sees a key."""
    return allowed(_segments(marks))


def _segments(marks: Marks) -> Tensor:
    return segments(marks.length, marks.visual, marks.views)


class _Masked:
    """An `Attend` that asks the prefill at work for its `marks`; after a prompt there are none, and it is the
    plain attention. `fused`: whether the kernel computes this mask."""

    def __init__(self, mask: Callable[[Marks], Tensor], fused: bool) -> None:
        self._mask, self._fused = mask, fused
        self._made: tuple[Marks, Any] | None = None

    def __call__(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        **kwargs: Any,
    ) -> tuple[Tensor, None]:
        marks: Marks | None = getattr(at_work(), "marks", None)
        if marks is None or len(marks.views) < 2:
            return plain(module, query, key, value, attention_mask, **kwargs)
        if key.shape[2] != marks.length:
            raise ValueError("attention by views needs all keys of a prompt: let nothing be forgotten before")
        if self._fused and attention_mask is None and self._fits(query, key):
            return self._by_kernel(query, key, value, marks, kwargs.get("scaling")), None
        mask = _both(self._of(marks, self._mask)[-query.shape[2] :][None, None], attention_mask)
        return plain(module, query, key, value, mask.expand(len(query), -1, -1, -1), **kwargs)

    def _fits(self, query: Tensor, key: Tensor) -> bool:
        if query.shape[2] != key.shape[2] or kernels.missing(query.device.type) is not None:
            return False
        from models.kernels.multiview import WIDTHS

        return query.shape[3] in WIDTHS

    def _by_kernel(
        self, query: Tensor, key: Tensor, value: Tensor, marks: Marks, scaling: float | None
    ) -> Tensor:
        from models.kernels.multiview import attend, plan

        layout = self._of(marks, lambda found: plan(_segments(found)))
        return attend(query, key, value, layout, scaling).transpose(1, 2)

    def _of(self, marks: Marks, make: Callable[[Marks], Any]) -> Any:
        """What `make` makes of a prompt, once for all of its layers."""
        if self._made is None or self._made[0] is not marks:
            self._made = marks, make(marks)
        return self._made[1]


def _both(seen: Tensor, mask: Tensor | None) -> Tensor:
    """What both masks show; `mask` bool or additive."""
    if mask is None:
        return seen
    return seen & mask if mask.dtype == torch.bool else mask.masked_fill(~seen, -torch.inf)

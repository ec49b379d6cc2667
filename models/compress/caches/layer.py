"""A cache layer of transformers that keeps its tokens in some format, and its rules.

The first update gives back the very states it was handed, as transformers' own quantised layers do: the
prompt is attended to as computed, so the first token of an answer is the dense one. What is stored is read
back from the second update on, news included. A format may freeze a scale at the first update, of each row by
itself; later tokens take it as it is, so appending stores what storing all at once under that scale would.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

Parts = tuple[Tensor, ...]
"""Tensors that share batch, head and token axes: [B, Hkv, N, ...] each."""


class Format(Protocol):
    """How states [B, Hkv, N, d] are stored."""

    def freeze(self, states: Tensor) -> Tensor | None:
        """A scale [B, 1, 1, 1] fixed by the first states; None when the format needs none."""
        ...

    def encode(self, states: Tensor, scale: Tensor | None) -> Parts: ...

    def decode(self, parts: Parts, scale: Tensor | None, dtype: torch.dtype) -> Tensor: ...

    def lend(self, held: Held) -> Any:
        """What attention is handed of `held`: the states read back, or an `attention.Unread`."""
        ...


class ReadBack:
    """A format whose states are read back for attention."""

    def lend(self, held: Held) -> Tensor:
        return held.read()


class Held:
    """Keys or values of one layer as stored."""

    def __init__(self, form: Format, states: Tensor) -> None:
        self._form, self._dtype = form, states.dtype
        self.scale = form.freeze(states)
        self.parts = form.encode(states, self.scale)

    def append(self, states: Tensor) -> None:
        new = self._form.encode(states, self.scale)
        self.parts = tuple(torch.cat(pair, dim=2) for pair in zip(self.parts, new, strict=True))

    def read(self) -> Tensor:
        return self._form.decode(self.parts, self.scale, self._dtype)

    def lend(self) -> Any:
        return self._form.lend(self)

    def each(self, change: Callable[[Tensor], Tensor]) -> None:
        """Change what is stored along its batch, head and token axes."""
        self.parts = tuple(change(part) for part in self.parts)

    def rows(self, change: Callable[[Tensor], Tensor]) -> None:
        """Change which rows of a batch there are, the scale's too."""
        self.each(change)
        self.scale = None if self.scale is None else change(self.scale)

    @property
    def length(self) -> int:
        return self.parts[0].shape[2]

    @property
    def bytes(self) -> int:
        tensors = self.parts if self.scale is None else (*self.parts, self.scale)
        return sum(each.numel() * each.element_size() for each in tensors)


class StoredLayer(CacheLayerMixin):  # type: ignore[no-untyped-call] # of transformers
    """Keys and values in a `Format`."""

    is_sliding = False
    is_croppable = True

    def __init__(self, form: Format) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._form = form
        self.held: tuple[Held, Held] | None = None

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self.held = Held(self._form, key_states), Held(self._form, value_states)
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        if self.held is None:
            self.lazy_initialization(key_states, value_states)
            return key_states, value_states
        keys, values = self.held
        keys.append(key_states)
        values.append(value_states)
        return keys.lend(), values.lend()

    def get_seq_length(self) -> int:
        return self.held[0].length if self.held else 0

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_max_length(self) -> int:
        return -1

    def reset(self) -> None:
        self.held, self.is_initialized = None, False

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last -`tokens_to_remove` tokens. Raises ValueError for a positive number."""
        if tokens_to_remove > 0:
            raise ValueError(f"crop takes minus the number of tokens to remove, not {tokens_to_remove}")
        length = self.get_seq_length() + tokens_to_remove
        for held in self.held or ():
            held.each(lambda part: part[:, :, :length])

    def retain(self, index: Tensor) -> None:
        """Keep what `index` [B, Hkv, m] names; the bits of the kept stay as they are."""
        for held in self.held or ():
            held.each(lambda part: part.gather(2, index[..., None].expand(-1, -1, -1, part.shape[-1])))

    def reorder_cache(self, beam_idx: Tensor) -> None:
        self.batch_select_indices(beam_idx)

    def batch_select_indices(self, indices: Tensor) -> None:
        for held in self.held or ():
            held.rows(lambda part: part[indices.to(part.device)])

    def batch_repeat_interleave(self, repeats: int) -> None:
        for held in self.held or ():
            held.rows(lambda part: part.repeat_interleave(repeats, dim=0))

    def offload(self) -> None:
        for held in self.held or ():
            held.rows(lambda part: part.to("cpu", non_blocking=True))

    def prefetch(self) -> None:
        for held in self.held or ():
            held.rows(lambda part: part.to(self.device, non_blocking=True))

    @property
    def stored_bytes(self) -> int:
        return sum(held.bytes for held in self.held or ())


def cache_of(form: Format, layers: int) -> Cache:
    """A cache that stores each of its layers so."""
    return Cache(layers=[StoredLayer(form) for _ in range(layers)])

"""Caches as the frame uses them: seeded with a prefix, thinned out, measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

Pair = tuple[Tensor, Tensor]


class Seeded(CacheLayerMixin):  # type: ignore[no-untyped-call] # transformers' own
    """A layer that holds a prefix's keys and values before it is filled: its first update is one of prefix
    and news together, so `inner` never has to read back what it stored before the prompt is complete."""

    is_sliding = False

    def __init__(self, inner: CacheLayerMixin, prefix: Pair) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # transformers' own
        self.inner = inner
        self._prefix = prefix

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.inner.lazy_initialization(key_states, value_states)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> Pair:
        if not self.inner.get_seq_length():
            rows = len(key_states)
            keys, values = (part.expand(rows, -1, -1, -1) for part in self._prefix)
            key_states = torch.cat([keys, key_states], dim=-2)
            value_states = torch.cat([values, value_states], dim=-2)
        stored: Pair = self.inner.update(key_states, value_states, *args, **kwargs)
        return stored

    def get_seq_length(self) -> int:
        return self.inner.get_seq_length() or self._prefix[0].shape[-2]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_max_length(self) -> int:
        return -1


def seed(cache: Cache, prefix: Sequence[Pair]) -> Cache:
    """A cache that writes to `cache`, whose layers must still be empty, after a prefix of [1, Hkv, P, d]
    pairs."""
    layers: list[Any] = cache.layers
    return Cache(layers=[Seeded(layer, pair) for layer, pair in zip(layers, prefix, strict=True)])


def complete(cache: Cache, layers: int) -> Cache:
    """A cache that makes its layers when they are first written has them all now."""
    while len(cache.layers) < layers:
        assert cache.layer_class_to_replicate is not None
        cache.layers.append(cache.layer_class_to_replicate())
    return cache


def retain(layer: Any, index: Tensor) -> None:
    """Keep of a layer what `index` [B, Hkv, m] names."""
    layer = getattr(layer, "inner", layer)
    if hasattr(layer, "retain"):
        layer.retain(index)
    else:
        layer.keys, layer.values = gathered(layer.keys, index), gathered(layer.values, index)


def gathered(states: Tensor, index: Tensor) -> Tensor:
    """[B, Hkv, m, d] of [B, Hkv, N, d]."""
    return states.gather(2, index[..., None].expand(-1, -1, -1, states.shape[-1]))


def stored_bytes(cache: Cache) -> int:
    """Bytes of all that a cache holds."""
    return sum(map(_bytes, cache.layers))


def _bytes(layer: Any) -> int:
    layer = getattr(layer, "inner", layer)
    if hasattr(layer, "stored_bytes"):
        return int(layer.stored_bytes)
    return sum(part.numel() * part.element_size() for part in (layer.keys, layer.values))

"""One attention function for models that compress: transformers' own, with the steps at work looking in.

It is registered with transformers' AttentionInterface under `NAME`. Who runs a model puts a `Watcher` in
place for the time of the call; without one it is scaled_dot_product_attention as transformers calls it, bit
for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "compressed"


class Watcher(Protocol):
    def attend(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **kwargs: Any
    ) -> tuple[Tensor, None]: ...


class Unread(Protocol):
    """Keys or values that a cache hands over as it stores them, after the prompt, instead of a tensor.

    `attend` gives [B, N, H, d] of a query [B, H, N, d] (its N tokens the last, causal) and the values; None
    when it has no kernel for that: then both are read.
    """

    shape: torch.Size

    def read(self) -> Tensor: ...

    def attend(self, query: Tensor, value: Any, scaling: float | None) -> Tensor | None: ...


_watching: ContextVar[Watcher | None] = ContextVar("watching", default=None)


def install(*parts: nn.Module) -> None:
    """Have these parts of a model (those with a `config` of their own) use the function."""
    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    for part in parts:
        part.config._attn_implementation = NAME  # type: ignore[union-attr] # transformers' own switch


@contextmanager
def watched(by: Watcher) -> Iterator[None]:
    token = _watching.set(by)
    try:
        yield
    finally:
        _watching.reset(token)


def at_work() -> Watcher | None:
    """Who watches the call that is running."""
    return _watching.get()


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    watcher = _watching.get()
    if watcher is None:
        return plain(module, query, key, value, attention_mask, **kwargs)
    return watcher.attend(module, query, key, value, attention_mask, **kwargs)


def plain(
    module: nn.Module, query: Tensor, key: Any, value: Any, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    """Scaled dot-product attention as transformers calls it; of keys that a cache left unread, by the cache's
    own kernel if it has one."""
    if not isinstance(key, Tensor):
        said = key.attend(query, value, kwargs.get("scaling")) if attention_mask is None else None
        if said is not None:
            return said, None
        key, value = key.read(), value.read()
    return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)


def last_rows(query: Tensor, key: Tensor, mask: Tensor | None, window: int, scaling: float | None) -> Tensor:
    """[B, H, w, M] float32 softmax weights of the last w = min(window, N) queries, which no fast kernel
    gives.

    `query` [B, H, N, d], `key` [B, Hkv, M, d] un-repeated; `mask` [B, 1, N, M] bool (True: may look) or
    additive, None: causal, the last query seeing every key.
    """
    asked = query[:, :, -window:]
    key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    scores = (asked @ key.transpose(-1, -2)).float() * (
        query.shape[-1] ** -0.5 if scaling is None else scaling
    )
    seen = lower_right(asked.shape[2], key.shape[2], query.device) if mask is None else mask[..., -window:, :]
    if seen.dtype == torch.bool:
        return scores.masked_fill(~seen, -torch.inf).softmax(-1)
    return (scores + seen).softmax(-1)


def lower_right(queries: int, keys: int, device: torch.device) -> Tensor:
    """[1, 1, queries, keys] bool: the causal mask of the last `queries` of `keys` tokens."""
    seen = torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)
    return seen[None, None]

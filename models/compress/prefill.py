"""A decoder reads a prompt with the steps at work: tokens that go between layers, caches that lose
entries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache

from models.compress import counted
from models.compress.applied import Applied
from models.compress.attention import last_rows, lower_right, plain, watched
from models.compress.interface import Inside, Marks
from models.compress.stores import Pair, complete, gathered, retain, seed


@dataclass
class Prefilled:
    """What a prefill leaves: `hidden` [B, d] of the last token after the final norm; `cache`; `at` position
    ids [..., B, 1] of the last token; `visual` tokens that went through each layer, of one row; `weights` of
    each layer's keys as of `models.compress.counted`, none where nothing was merged; `said` tokens since."""

    hidden: Tensor
    cache: Cache
    at: Tensor
    visual: list[int] = field(default_factory=list)
    weights: Mapping[int, Tensor] = field(default_factory=dict)
    said: int = 0


def prefill(
    decoder: nn.Module,
    applied: Applied,
    embeds: Tensor,
    positions: Tensor,
    marks: Marks,
    *,
    prefix: Sequence[Pair] = (),
    mask: Tensor | None = None,
    sizes: Tensor | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Prefilled:
    """`decoder` is a transformers text model with `layers`, its attention set by `attention.install`.

    `embeds` [B, N, d] and `positions` [..., B, N] of the whole prompt, what `prune` steps dropped already
    gone;
    `prefix` keys and values of its first P tokens, [1, Hkv, P, d] a layer, which are then not computed again;
    `mask` [B, 1, N, N] bool, None: causal (a mask goes with no prefix); `sizes` [B, v] how many tokens each
    visual one counts for, None: one; `extra` keywords of the decoder.
    """
    layers = len(decoder.layers)  # type: ignore[arg-type] # a ModuleList
    begin = prefix[0][0].shape[-2] if prefix else 0
    cache = complete(applied.cache(decoder.config), layers)  # type: ignore[arg-type] # a text config
    session = _Session(applied, cache, marks, begin, sizes)
    with ExitStack() as stack:
        stack.enter_context(watched(session))
        if session.inside is not None:
            stack.enter_context(_dropping(decoder, session, session.inside))
        output = decoder(
            inputs_embeds=embeds[:, begin:],
            position_ids=positions[..., begin:],
            attention_mask=mask,
            past_key_values=seed(cache, prefix) if prefix else cache,
            use_cache=True,
            **(extra or {}),
        )
    hidden = output.last_hidden_state[:, -1]
    return Prefilled(hidden, cache, positions[..., -1:], session.counted(layers), session.weights)


@torch.inference_mode()
def extend(decoder: nn.Module, applied: Applied, state: Prefilled, embeds: Tensor) -> Tensor:
    """[B, t, d] hidden states after t more tokens of `embeds` [B, t, d]; `state` moves on."""
    tokens = embeds.shape[1]
    ahead = torch.arange(1, tokens + 1, device=embeds.device)
    state.said += tokens
    with watched(_Later(applied, state)):
        output = decoder(
            inputs_embeds=embeds,
            position_ids=state.at + ahead,
            past_key_values=state.cache,
            use_cache=True,
        )
    state.at = state.at + tokens
    hidden: Tensor = output.last_hidden_state
    return hidden


def crop(state: Prefilled, tokens: int) -> None:
    """Take the last `tokens` back."""
    layers: list[Any] = state.cache.layers
    for layer in layers:
        layer.crop(-tokens)
    state.at = state.at - tokens
    state.said -= tokens


class _Later:
    """Attention after the prompt. Layers may hold different numbers of tokens, so a mask made for one of
    them is made anew: what came before is seen, what comes after is not."""

    def __init__(self, applied: Applied, state: Prefilled) -> None:
        self._attend, self._state = applied.attend or plain, state

    def attend(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **kwargs: Any
    ) -> tuple[Tensor, None]:
        keys = key.shape[-2]
        if mask is not None and mask.shape[-1] != keys:
            mask = lower_right(query.shape[-2], keys, query.device)
        if self._state.weights:
            weight = self._state.weights[module.layer_idx]  # type: ignore[index] # every decoder's has one
            mask = counted.add(mask, counted.grown(weight, self._state.said, keys), query, keys)
        said: tuple[Tensor, None] = self._attend(module, query, key, value, mask, **kwargs)
        return said


class _Session:
    """One prefill: what was watched, which rows are left, what each layer's cache keeps."""

    def __init__(
        self, applied: Applied, cache: Cache, marks: Marks, begin: int, sizes: Tensor | None
    ) -> None:
        self.inside, self.evictor = applied.inside(), applied.evictor()
        self._attend = applied.attend or plain
        self._cache, self.marks, self.begin = cache, marks, begin
        self._weight = None if sizes is None else counted.weights(sizes, marks.visual, marks.length)
        self.weights: dict[int, Tensor] = {}
        self.attention: dict[int, Tensor] = {}
        self.rows: Tensor | None = None
        self.place = marks.visual[None] - begin
        self._counts: dict[int, int] = {}

    def counted(self, layers: int) -> list[int]:
        """Visual tokens at each layer."""
        counts, now = [], len(self.marks.visual)
        for layer in range(layers):
            now = self._counts.get(layer, now)
            counts.append(now)
        return counts

    def drop(self, layer: int, hidden: Tensor, inside: Inside) -> Tensor | None:
        """[B, k] rows of `hidden` that go on from `layer`; None: all."""
        place = self.place.expand(len(hidden), -1)
        chosen = inside.at(layer, hidden, self.attention, place)
        if chosen is None or chosen.shape[1] == place.shape[1]:
            return None
        stays = torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device)
        stays.scatter_(1, place, False).scatter_(1, place.gather(1, chosen), True)
        rows = stays.nonzero()[:, 1].view(len(hidden), -1)
        visual = torch.zeros_like(stays).scatter_(1, place, True).gather(1, rows)
        self.place = visual.nonzero()[:, 1].view(len(hidden), -1)
        self.rows = rows if self.rows is None else self.rows.gather(1, rows)
        self._counts[layer] = chosen.shape[1]
        return rows

    def attend(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **kwargs: Any
    ) -> tuple[Tensor, None]:
        layer: int = module.layer_idx  # type: ignore[assignment] # every decoder's attention has one
        weight = self._weight_left()
        if weight is not None:
            mask = counted.add(mask, weight, query, key.shape[2])
        self._watch(layer, query, key, mask, kwargs.get("scaling"))
        kept = None
        if self.evictor is not None:
            kept = self.evictor.keep(layer, key, value, self.attention, self.marks)
        if kept is not None and self.evictor is not None and self.evictor.before:
            mask = _thinned(mask, kept, query, key)
            key, value = gathered(key, kept), gathered(value, kept)
        said: tuple[Tensor, None] = self._attend(module, query, key, value, mask, **kwargs)
        if kept is not None:
            retain(self._cache.layers[layer], kept)
        if weight is not None:
            here = weight if kept is None else weight.expand(-1, kept.shape[1], -1).gather(2, kept)
            self.weights[layer] = here
        return said

    def _weight_left(self) -> Tensor | None:
        """[B, 1, keys] of the tokens that are still there."""
        if self._weight is None or self.rows is None:
            return self._weight
        left = self._weight[:, 0, self.begin :].gather(1, self.rows)
        return torch.cat([self._weight[:, 0, : self.begin], left], dim=1)[:, None]

    def _watch(
        self, layer: int, query: Tensor, key: Tensor, mask: Tensor | None, scaling: float | None
    ) -> None:
        if self.inside is not None and layer in self.inside.watched:
            rows = last_rows(query, key, mask, self.inside.window, scaling)
            self.attention[layer] = rows[..., self.begin :]
        if self.evictor is not None and layer in self.evictor.watched:
            self.attention[layer] = last_rows(query, key, mask, self.evictor.window, scaling)


def _thinned(mask: Tensor | None, kept: Tensor, query: Tensor, key: Tensor) -> Tensor:
    """[B, H, N, m]: the mask over the kept keys alone, of each head."""
    heads = query.shape[1] // key.shape[1]
    seen = lower_right(query.shape[2], key.shape[2], query.device) if mask is None else mask
    seen = seen.expand(len(query), query.shape[1], -1, -1)
    index = kept.repeat_interleave(heads, dim=1)[:, :, None].expand(-1, -1, query.shape[2], -1)
    return seen.gather(-1, index)


@contextmanager
def _dropping(decoder: nn.Module, session: _Session, inside: Inside) -> Iterator[None]:
    """Before each layer, what `inside` drops there goes, and of what all layers share what was dropped so
    far."""
    layers: Any = decoder.layers
    hooks = [
        layer.register_forward_pre_hook(_before(number, session, inside), with_kwargs=True)
        for number, layer in enumerate(layers)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _before(number: int, session: _Session, inside: Inside) -> Callable[..., Any]:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        hidden, *others = args
        rows = session.drop(number, hidden, inside)
        if rows is not None:
            hidden = hidden.gather(1, rows[..., None].expand(-1, -1, hidden.shape[-1]))
        if session.rows is None:
            return None
        return (hidden, *others), _of_rows(kwargs, session.rows, session.begin)

    return hook


def _of_rows(kwargs: Mapping[str, Any], rows: Tensor, begin: int) -> dict[str, Any]:
    """What layers share, of these rows alone: position embeddings and ids, and the mask on both of its
    sides."""
    ours = dict(kwargs)
    shared = ours.get("position_embeddings")
    if isinstance(shared, tuple):
        ours["position_embeddings"] = tuple(_at(part, rows) for part in shared)
    elif shared is not None:
        ours["position_embeddings"] = _at(shared, rows)
    if ours.get("position_ids") is not None:
        ours["position_ids"] = ours["position_ids"].expand(len(rows), -1).gather(1, rows)
    if ours.get("attention_mask") is not None:
        ours["attention_mask"] = _mask_at(ours["attention_mask"], rows, begin)
    return ours


def _at(part: Tensor, rows: Tensor) -> Tensor:
    """[..., B, k, d] of a part [..., B or 1, N, d]."""
    whole = part.expand(*part.shape[:-3], len(rows), -1, -1)
    return whole.gather(-2, rows[..., None].expand(*whole.shape[:-2], -1, whole.shape[-1]))


def _mask_at(mask: Tensor, rows: Tensor, begin: int) -> Tensor:
    """[B, 1, k, P + k] of a mask [B or 1, 1, N, P + N] over P = `begin` tokens before."""
    whole = mask.expand(len(rows), -1, -1, -1)
    whole = whole.gather(2, rows[:, None, :, None].expand(-1, whole.shape[1], -1, whole.shape[-1]))
    before = torch.arange(begin, device=rows.device).expand(len(rows), -1)
    columns = torch.cat([before, rows + begin], dim=1)[:, None, None]
    return whole.gather(3, columns.expand(-1, whole.shape[1], whole.shape[2], -1))

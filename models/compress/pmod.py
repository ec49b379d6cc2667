"""p-MoD (arXiv 2412.04449): in deeper layers ever fewer visual tokens are worked on, the rest pass by.

A router per layer gives each visual token a weight w = 0.2 tanh(r) + 1. The trunc(rho * n) visual tokens
with the highest weight go through the layer, their MLP branch scaled by w; the others leave as w * h and are
not in this layer's cache. Text always goes through. rho falls from layer to layer (`ratios`).

With a router of zeros all weights are 1 and the choice is arbitrary (the earlier tokens): a stock model must
be trained before this is of use (`python -m models.learn.compression.pmod`). rho = 1 with such a router
changes nothing.

Chosen here: the cosine's end is the model's last layer (31 of the published 32); ties keep the earlier token;
in a batch every sample keeps by its own number of visual tokens, and shorter rows are padded behind a mask.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.compress.attention import at_work
from models.compress.step import Step

GAIN = 0.2
DENSE, LEAST = 0.85, 0.15


def ratios(layers: int, shift: float = 0.5, dense: float = DENSE, least: float = LEAST) -> list[float]:
    """Share of visual tokens that each layer works on, 1 where it is dense.

    "shiftedcos_decay_0.85_0.15" with factor 0.5: 0.5 + `shift` * cos(pi * l / (layers - 1)), at least
    `least`, and 1 above `dense`. Over 32 layers the mean of the published form is 0.5375.
    """
    last = max(1, layers - 1)
    values = [0.5 + shift * math.cos(math.pi * layer / last) for layer in range(layers)]
    return [1.0 if value > dense else max(least, value) for value in values]


class Router(nn.Module):
    """One weight a token, 0.8 to 1.2, exactly 1 at the start."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    def forward(self, states: Tensor) -> Tensor:
        """(batch, n) of states (batch, n, width)."""
        weights: Tensor = GAIN * torch.tanh(self.score(states).squeeze(-1)) + 1
        return weights


@dataclass
class Seen:
    """What the layers must know of the prompt: `visual` (batch, n) bool; None while words are generated."""

    visual: Tensor | None = None


@dataclass(frozen=True)
class Kept:
    """`index` (batch, m) tokens that go through, in order; `real` (batch, m) bool, False for padding."""

    index: Tensor
    real: Tensor

    @property
    def full(self) -> bool:
        return bool(self.real.all())


def keep(weights: Tensor, visual: Tensor, ratio: float) -> Kept:
    """All text and trunc(`ratio` * its number) of each row's visual tokens, by weight (batch, n)."""
    counts = (visual.sum(dim=1) * ratio).long()
    ranked = torch.where(visual, weights, -torch.inf).sort(dim=1, descending=True, stable=True).indices
    rank = ranked.argsort(dim=1)
    chosen = ~visual | (rank < counts[:, None])
    most = int(chosen.sum(dim=1).max())
    order = torch.sort((~chosen).long(), dim=1, stable=True).indices[:, :most]
    return Kept(order, chosen.gather(1, order))


class MixtureLayer(nn.Module):
    """A decoder layer of the Llama and Qwen kind that works on part of the visual tokens.

    While `seen.visual` is set a call is the prompt's; after it words are generated and nothing is skipped.
    """

    def __init__(self, layer: nn.Module, width: int, ratio: float, seen: Seen) -> None:
        super().__init__()
        self.layer, self.router, self.ratio = layer, Router(width), ratio
        self._seen = seen
        self._kept: Kept | None = None
        self._length = self._prompt = 0
        if hasattr(layer, "attention_type"):  # some models ask their layers which mask they take
            self.attention_type = layer.attention_type

    def forward(self, hidden_states: Tensor, **inputs: Any) -> Tensor:
        visual = self._seen.visual
        if visual is None:
            return self._continue(hidden_states, inputs)
        weights = self.router(hidden_states)
        kept = keep(weights.detach(), visual, self.ratio)
        cache = inputs.get("past_key_values")
        before = 0 if cache is None else cache.get_seq_length(0) - hidden_states.shape[1]
        self._kept, self._length = kept, hidden_states.shape[1]
        self._prompt = before + self._length
        scale = torch.where(visual, weights, 1.0)
        wide = kept.index[..., None].expand(-1, -1, hidden_states.shape[-1])
        worked = self._work(
            hidden_states.gather(1, wide),
            scale.gather(1, kept.index),
            self._prompt_inputs(kept, hidden_states, inputs),
        )
        passed = scale[..., None] * hidden_states
        worked = torch.where(kept.real[..., None], worked, passed.gather(1, wide))
        return passed.scatter(1, wide, worked)

    def _work(self, states: Tensor, scale: Tensor, inputs: dict[str, Any]) -> Tensor:
        """(h + attention) + w * mlp(.), on the tokens kept."""
        layer: Any = self.layer
        attended, _ = layer.self_attn(hidden_states=layer.input_layernorm(states), **inputs)
        states = states + attended
        output: Tensor = states + scale[..., None] * layer.mlp(layer.post_attention_layernorm(states))
        return output

    def _prompt_inputs(self, kept: Kept, states: Tensor, inputs: dict[str, Any]) -> dict[str, Any]:
        """Original positions of the tokens kept, and a mask where one is needed."""
        batch, length = states.shape[:2]
        mask = inputs.get("attention_mask")
        if mask is None and not kept.full:
            mask = torch.ones(length, length, dtype=torch.bool, device=states.device).tril()[None, None]
        if mask is not None:
            rows = kept.index[:, None, :, None].expand(-1, 1, -1, mask.shape[-1])
            mask = _columns(mask.expand(batch, 1, -1, -1).gather(2, rows), kept, length)
        cos, sin = (_rows(each.expand(batch, -1, -1), kept.index) for each in inputs["position_embeddings"])
        changed = {"attention_mask": mask, "position_embeddings": (cos, sin), "position_ids": None}
        return {**inputs, **changed}

    def _continue(self, states: Tensor, inputs: dict[str, Any]) -> Tensor:
        """The mask, sized by the first layer's cache, loses the columns that this layer's cache lacks."""
        mask = inputs.get("attention_mask")
        if self._kept is not None and mask is None and not self._kept.full:
            new, held = states.shape[1], inputs["past_key_values"].get_seq_length(0)  # the new ones included
            mask = torch.ones(new, held, dtype=torch.bool, device=states.device).tril(held - new)[None, None]
        if self._kept is not None and mask is not None:
            mask = mask.expand(len(states), 1, -1, -1)
            prompt = _columns(mask[..., : self._prompt], self._kept, self._length)
            inputs = {**inputs, "attention_mask": torch.cat([prompt, mask[..., self._prompt :]], dim=-1)}
        output: Tensor = self.layer(states, **inputs)
        return output


def _rows(table: Tensor, index: Tensor) -> Tensor:
    return table.gather(1, index[..., None].expand(-1, -1, table.shape[-1]))


def _columns(mask: Tensor, kept: Kept, length: int) -> Tensor:
    """The columns kept of a mask (batch, 1, rows, n), bool or additive, of whose columns the last `length`
    are the prompt that `kept` is of and those before a prefix that stays whole. Padded ones are hidden."""
    before = mask.shape[-1] - length
    prefix = torch.arange(before, device=mask.device).expand(len(kept.index), -1)
    index = torch.cat([prefix, before + kept.index], dim=1)
    taken = mask.gather(3, index[:, None, None, :].expand(-1, 1, mask.shape[2], -1))
    if kept.full:
        return taken
    hidden = torch.cat([torch.zeros_like(prefix, dtype=torch.bool), ~kept.real], dim=1)[:, None, None, :]
    blind = False if mask.dtype == torch.bool else torch.finfo(mask.dtype).min
    return taken.masked_fill(hidden, blind)


def wrap(layers: nn.ModuleList, width: int, shares: Sequence[float], always: bool = False) -> Seen:
    """Put a MixtureLayer around every one of `layers` whose share is below 1 (`always`: around all).

    Set `.visual` of what is returned (see `showing`) around each prompt. The first layer must stay dense:
    positions are counted by its cache. Raises ValueError when it does not, or the numbers differ.
    """
    if len(shares) != len(layers) or shares[0] != 1:
        raise ValueError(f"{len(layers)} layers need as many shares, the first of them 1: {list(shares)}")
    seen = Seen()
    for at, share in enumerate(shares):
        if share < 1 or always:
            layers[at] = MixtureLayer(layers[at], width, share, seen)
    return seen


@contextmanager
def showing(seen: Seen, visual: Tensor) -> Iterator[None]:
    """What is called inside is a prompt, whose `visual` tokens (batch, n) bool may be skipped."""
    seen.visual = visual
    try:
        yield
    finally:
        seen.visual = None


@dataclass(frozen=True)
class Cost:
    """`flops` of the decoder layers over a prompt, `entries` keys and values held, summed over layers."""

    flops: float
    entries: int


def account(
    shares: Sequence[float], text: int, visual: int, width: int, inner: int, queries: int, keys: int
) -> Cost:
    """Of one prompt: 2 per weight and token, 2 n^2 per attention width (causal half).

    `width` of the model, `inner` of its gated MLP (three matrices), `queries` and `keys` heads times head
    width. Routers are counted: 2 * `width` per visual token of a layer that has one.
    """
    flops, entries = 0.0, 0
    for share in shares:
        tokens = text + int(visual * share)
        weights = 2 * width * queries + 2 * width * keys + 3 * width * inner
        flops += 2.0 * weights * tokens + 2.0 * tokens**2 * queries
        flops += 2.0 * width * visual if share < 1 else 0.0
        entries += tokens
    return Cost(flops, entries)


def convert(model: nn.Module, step: Step) -> None:
    """The step "pmod [routers=FILE]", of the kind weights: the model's decoder layers, by `ratios`.

    FILE (safetensors) holds trained routers and whatever else was trained with them, by parameter name.
    """
    decoder: Any = next(
        (each for each in model.modules() if hasattr(each, "layers") and hasattr(each, "embed_tokens")), None
    )
    if decoder is None:
        raise ValueError(f"{step}: this model has no decoder layers that could be wrapped")
    seen = wrap(decoder.layers, decoder.config.hidden_size, ratios(len(decoder.layers)))
    decoder.register_forward_pre_hook(_look_at_prompt(seen), with_kwargs=True)
    if file := step.options.get("routers"):
        from safetensors.torch import load_file

        model.load_state_dict(load_file(file), strict=False)


def _look_at_prompt(seen: Seen) -> Callable[..., None]:
    """Before each call of the decoder: a prompt's visual places from the frame, or None."""

    def look(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        place = getattr(at_work(), "place", None)
        seen.visual = None
        if place is not None:
            embeds = named["inputs_embeds"]
            visual = torch.zeros(embeds.shape[:2], dtype=torch.bool, device=embeds.device)
            seen.visual = visual.scatter_(1, place.expand(len(embeds), -1), True)

    return look

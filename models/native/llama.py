"""A Llama decoder as transformers stores it (Touvron et al., arXiv 2302.13971), with as many heads for keys
as for queries: what the small VLM needs to answer, and nothing to train it or to compress its prompt."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON, THETA = 1e-6, 10_000.0
"""Of the normalisations, and the base of the rotary wavelengths: transformers' defaults."""


@dataclass(frozen=True)
class Shape:
    words: int
    width: int
    inner: int
    layers: int
    heads: int


@dataclass
class Cache:
    """Keys and values (batch, heads, tokens, width of a head) by layer."""

    kept: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def update(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """All that are known of the layer, these the last."""
        if layer in self.kept:
            before = self.kept[layer]
            keys, values = torch.cat([before[0], keys], dim=2), torch.cat([before[1], values], dim=2)
        self.kept[layer] = keys, values
        return keys, values

    def get_seq_length(self) -> int:
        return int(self.kept[0][0].shape[2]) if self.kept else 0


@dataclass(frozen=True)
class Said:
    """`logits` (batch, tokens, words)."""

    logits: Tensor
    past_key_values: Cache


class Norm(nn.Module):
    """By the root mean square: Zhang and Sennrich, NeurIPS 2019."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, hidden: Tensor) -> Tensor:
        return self.weight * (hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + EPSILON))


class Attention(nn.Module):
    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self._layer, self._head = layer, shape.width // shape.heads
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (
            nn.Linear(shape.width, shape.width, bias=False) for _ in range(4)
        )

    def forward(self, hidden: Tensor, turn: tuple[Tensor, Tensor], mask: Tensor, cache: Cache) -> Tensor:
        split = (*hidden.shape[:-1], -1, self._head)
        query, key, value = (
            project(hidden).view(split).transpose(1, 2) for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        keys, values = cache.update(_turned(key, turn), value, self._layer)
        seen = functional.scaled_dot_product_attention(_turned(query, turn), keys, values, attn_mask=mask)
        said: Tensor = self.o_proj(seen.transpose(1, 2).reshape(hidden.shape))
        return said


class Inner(nn.Module):
    """SwiGLU: Shazeer, arXiv 2002.05202."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.inner, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.inner, bias=False)
        self.down_proj = nn.Linear(shape.inner, shape.width, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        said: Tensor = self.down_proj(functional.silu(self.gate_proj(hidden)) * self.up_proj(hidden))
        return said


class Layer(nn.Module):
    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.self_attn, self.mlp = Attention(shape, layer), Inner(shape)
        self.input_layernorm, self.post_attention_layernorm = Norm(shape.width), Norm(shape.width)

    def forward(self, hidden: Tensor, turn: tuple[Tensor, Tensor], mask: Tensor, cache: Cache) -> Tensor:
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), turn, mask, cache)
        after: Tensor = hidden + self.mlp(self.post_attention_layernorm(hidden))
        return after


class Body(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.words, shape.width)
        self.layers = nn.ModuleList(Layer(shape, number) for number in range(shape.layers))
        self.norm = Norm(shape.width)


class Llama(nn.Module):
    """Embeddings in, logits out; the words' embeddings are the head."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self._head = shape.width // shape.heads
        self.model = Body(shape)
        self.lm_head = nn.Linear(shape.width, shape.words, bias=False)
        self.lm_head.weight = self.model.embed_tokens.weight

    def get_input_embeddings(self) -> nn.Embedding:
        return self.model.embed_tokens

    def forward(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        past_key_values: Cache | None = None,
        use_cache: bool = True,
        logits_to_keep: int = 0,
    ) -> Said:
        """`inputs_embeds` (batch, n, width) at `position_ids` (batch, n), after what the cache holds;
        `attention_mask` (batch, 1, n, all tokens so far) bool, or added to the scores; logits of the last
        `logits_to_keep` (0: all). The cache is always kept: `use_cache` is transformers' word."""
        cache = Cache() if past_key_values is None else past_key_values
        turn, hidden = _turn(position_ids, self._head), inputs_embeds
        for layer in self.model.layers:
            hidden = layer(hidden, turn, attention_mask, cache)
        last = self.model.norm(hidden)[:, -logits_to_keep:]
        return Said(self.lm_head(last), cache)


def _turn(positions: Tensor, head: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine (batch, 1, n, head) of the rotary embedding: Su et al., arXiv 2104.09864."""
    each = torch.arange(0, head, 2, dtype=torch.float, device=positions.device) / head
    angles = positions[..., None].float() * (1.0 / THETA**each)
    both = torch.cat([angles, angles], dim=-1)[:, None]
    return both.cos(), both.sin()


def _turned(heads: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    half = heads.shape[-1] // 2
    rotated = torch.cat([-heads[..., half:], heads[..., :half]], dim=-1)
    return heads * turn[0] + rotated * turn[1]

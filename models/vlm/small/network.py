"""The network: maps of the embedded backbone, a projector, a Llama decoder of a few layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.native import llama
from models.vlm.small.layout import lay_out
from models.vlm.small.words import LONGEST, PROMPT, TOKENS, WORDS, encode


@dataclass(frozen=True)
class Shape:
    """`features` channels of the backbone's map, pooled to `grid` x `grid` tokens a view; the decoder."""

    features: int = 1280
    grid: int = 4
    width: int = 128
    inner: int = 256
    layers: int = 3
    heads: int = 4
    dropout: float = 0.2

    @property
    def view_tokens(self) -> int:
        return self.grid * self.grid

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class SmallNetwork(nn.Module):
    """Feature maps in, log-probabilities of words out. Inputs:

    `maps`     (batch, views, features, grid, grid) float32, pooled maps of the views.
    `present`  (batch, views) bool.
    `answers`  (batch, t) long: the answer's words so far, without the mark that opens it.
    """

    def __init__(self, shape: Shape, *, native: bool = False) -> None:
        """`native`: on the decoder of `models.native`, which answers, and no more."""
        super().__init__()
        self.shape = shape
        self.decoder: Any = _native(shape) if native else _transformers(shape)
        self.norm = nn.LayerNorm(shape.features)
        self.project = nn.Linear(shape.features, shape.width)
        self.cells = nn.Parameter(torch.randn(shape.view_tokens, shape.width) * 0.02)
        self.drop = nn.Dropout(shape.dropout)

    def forward(self, maps: Tensor, present: Tensor, answers: Tensor) -> Tensor:
        """(batch, t + 1, words) logits: of the word after the opening mark, and after each word given."""
        logits, _ = self.prefill(maps, present, answers)
        return logits

    def prefill(self, maps: Tensor, present: Tensor, answers: Tensor) -> tuple[Tensor, Any]:
        """As `forward`, with the cache of every token, so that `extend` can go on."""
        batch = len(present)
        opened = torch.full((batch, 1), TOKENS["<answer>"], device=answers.device)
        tail = self._embed(torch.cat([opened, answers], dim=1))
        question = self._embed(torch.tensor([encode(PROMPT)], device=maps.device)).expand(batch, -1, -1)
        seen = self.look(maps).flatten(1, 2)
        layout = lay_out(present, question.shape[1], self.shape.view_tokens, tail.shape[1])
        output = self.decoder(
            inputs_embeds=torch.cat([question, seen, tail], dim=1),
            attention_mask=layout.mask,
            position_ids=layout.positions,
            use_cache=True,
            logits_to_keep=tail.shape[1],
        )
        return output.logits, output.past_key_values

    def extend(self, word: Tensor, present: Tensor, cache: Any, position: int) -> Tensor:
        """(batch, words) logits after one more `word` (batch,) at `position`; the cache grows by one."""
        length = cache.get_seq_length() + 1
        question, view = len(PROMPT), self.shape.view_tokens
        visible = torch.ones(len(word), length, dtype=torch.bool, device=word.device)
        visible[:, question : question + view * present.shape[1]] = present.repeat_interleave(view, dim=1)
        output = self.decoder(
            inputs_embeds=self._embed(word[:, None]),
            attention_mask=visible[:, None, None],
            position_ids=torch.full((len(word), 1), position, device=word.device),
            past_key_values=cache,
            use_cache=True,
        )
        logits: Tensor = output.logits[:, -1]
        return logits

    @torch.inference_mode()
    def speak(self, maps: Tensor, present: Tensor) -> list[list[int]]:
        """Greedy answers, a list of tokens each, the end mark included where it came in time."""
        empty = torch.zeros(len(maps), 0, dtype=torch.long, device=maps.device)
        logits, cache = self.prefill(maps, present, empty)
        word, position = logits[:, -1].argmax(-1), len(PROMPT) + self.shape.view_tokens + 1
        said = [word]
        while len(said) < LONGEST and not bool((torch.stack(said) == TOKENS["<eos>"]).any(0).all()):
            word = self.extend(word, present, cache, position).argmax(-1)
            position += 1
            said.append(word)
        return [_until_end(row) for row in torch.stack(said, dim=1).tolist()]

    def look(self, maps: Tensor) -> Tensor:
        """(batch, views, tokens, width): a token per cell."""
        cells = maps.flatten(3).transpose(2, 3)
        projected: Tensor = self.project(self.drop(self.norm(cells))) + self.cells
        return projected

    def complete(self) -> SmallNetwork:
        """Itself, from now on on transformers' decoder: training and `models.compress` work with its
        parts."""
        if isinstance(self.decoder, llama.Llama):
            own, weight = self.decoder, self.decoder.lm_head.weight
            self.decoder = _transformers(self.shape)
            self.decoder.load_state_dict(own.state_dict())
            self.decoder.to(weight.device).train(own.training).requires_grad_(weight.requires_grad)
        return self

    def _embed(self, tokens: Tensor) -> Tensor:
        embedded: Tensor = self.decoder.get_input_embeddings()(tokens)
        return embedded


def _transformers(shape: Shape) -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=TOKENS["<pad>"],
        bos_token_id=TOKENS["<bos>"],
        eos_token_id=TOKENS["<eos>"],
    )
    return LlamaForCausalLM(config)


def _native(shape: Shape) -> nn.Module:
    return llama.Llama(llama.Shape(len(WORDS), shape.width, shape.inner, shape.layers, shape.heads))


def _until_end(tokens: Sequence[int]) -> list[int]:
    end = TOKENS["<eos>"]
    return list(tokens[: tokens.index(end) + 1]) if end in tokens else list(tokens)


def pooled(maps: Tensor, grid: int) -> Tensor:
    """(n, features, grid, grid) of the backbone's (n, features, h, w) maps."""
    return nn.functional.adaptive_avg_pool2d(maps, grid)

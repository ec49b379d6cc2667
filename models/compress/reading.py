"""One prompt that has been read, and what may come after it: the `Reader` that decoding methods are
handed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.compress.applied import Applied
from models.compress.interface import Reader
from models.compress.prefill import Prefilled, crop, extend
from models.compress.step import Step


@dataclass(frozen=True)
class Tongue:
    """What speaking takes of a model: its `decoder`, `embed` ids -> embeddings, `head` hidden states ->
    logits, and the tokens that `end` an answer."""

    decoder: Any
    embed: Callable[[Tensor], Tensor]
    head: Callable[[Tensor], Tensor]
    end: frozenset[int]


class Reading:
    """A `Reader` (batch 1). `state` of a prompt of `ids`; `again` reads the same with other steps."""

    def __init__(
        self,
        tongue: Tongue,
        applied: Applied,
        state: Prefilled,
        ids: Sequence[int],
        again: Callable[[Applied], Reading],
    ) -> None:
        self._tongue, self._applied, self._state, self._again = tongue, applied, state, again
        self._begin = self.length = len(ids)
        self.prompt = tuple(ids)
        self.end = tongue.end
        self.first = self._logits(state.hidden, self._ids(ids[-1:]))[0]

    def extend(self, tokens: Sequence[int]) -> Tensor:
        ids = self._ids(tokens)
        hidden = extend(self._tongue.decoder, self._applied, self._state, self._tongue.embed(ids)[None])
        self.length += len(tokens)
        return self._logits(hidden[0], ids)

    def crop(self, length: int) -> None:
        if not self._begin <= length <= self.length:
            raise ValueError(f"one may go back to {self._begin}..{self.length} tokens, not to {length}")
        if length < self.length:
            crop(self._state, self.length - length)
            self.length = length

    def draft(self, share: float, seed: int) -> Reading:
        return self._again(Applied((Step("random", share, seed),), len(self._tongue.decoder.layers)))

    def _ids(self, tokens: Sequence[int]) -> Tensor:
        return torch.tensor(list(tokens), device=self._state.hidden.device)

    def _logits(self, hidden: Tensor, ids: Tensor) -> Tensor:
        return self._applied.adjust(self._tongue.head(hidden), self._tongue.embed(ids), self._tongue.head)


def say(reader: Reader, applied: Applied, most: int) -> list[int]:
    """Greedy tokens, at most `most`, an end mark included where it came: by the decoding step if there is
    one."""
    said = applied.generate(reader, most)
    return greedy(reader, most) if said is None else said


def greedy(reader: Reader, most: int) -> list[int]:
    """The likeliest token, again and again, up to an end mark."""
    said = [int(reader.first.argmax())]
    while len(said) < most and said[-1] not in reader.end:
        said.append(int(reader.extend(said[-1:])[-1].argmax()))
    return said

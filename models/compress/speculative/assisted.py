"""A draft of ours inside transformers' assisted generation (`generate`, batch 1, greedy)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers.generation.candidate_generator import CandidateGenerator

from models.compress.speculative.loop import Draft


class Candidates(CandidateGenerator):
    """Guesses of `draft` after a prompt of `prompt` ids; at most `gamma` each time.

    The first word always comes from the model's own prefill: nothing is guessed before it.
    """

    def __init__(self, draft: Draft, prompt: int, gamma: int, longest: int) -> None:
        self._draft, self._prompt, self._gamma, self._longest = draft, prompt, gamma, longest
        self.proposed = self.accepted = self.passes = 0

    def get_candidates(self, input_ids: Tensor, **kwargs: Any) -> tuple[Any, Any]:
        """(1, n + guesses) ids; no logits, so what is accepted is what the model says itself."""
        said = input_ids[0, self._prompt :].tolist()
        room = min(self._gamma, self._longest - input_ids.shape[1] - 1)
        guess = self._draft.propose(said, room)[:room] if said and room > 0 else []
        self.proposed += len(guess)
        new = torch.tensor([guess], dtype=input_ids.dtype, device=input_ids.device)
        return torch.cat([input_ids, new.reshape(1, -1)], dim=1), None

    def update_candidate_strategy(self, input_ids: Tensor, scores: Tensor, num_matches: int) -> None:
        self.accepted += int(num_matches)
        self.passes += 1


@contextmanager
def assisting(model: Any, candidates: Candidates) -> Iterator[dict[str, Any]]:
    """Inside, `model.generate(**inputs, **given)`, `given` being what this gives, is assisted by them."""

    def ours(**kwargs: Any) -> Candidates:
        return candidates

    model._get_candidate_generator = ours  # over the class's own, which stays
    try:
        yield {"prompt_lookup_num_tokens": 1}  # what has `generate` decode with assistance
    finally:
        del model._get_candidate_generator

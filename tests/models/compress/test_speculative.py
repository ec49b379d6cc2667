"""Guess and check on a tiny Llama: the answer is the plain one, whatever is guessed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

from models.compress import parse
from models.compress.reading import greedy
from models.compress.speculative.drafts import Elastic, Lookup, Table, generate, tell
from models.compress.speculative.loop import speculate

MOST = 24


class Reading:
    """A `Reader` of a Llama over a prompt of ids."""

    def __init__(
        self, model: LlamaForCausalLM, prompt: Sequence[int], end: frozenset[int] = frozenset()
    ) -> None:
        self._model, self.prompt, self.end = model, tuple(prompt), end
        self._cache = DynamicCache()
        self.drafts = 0
        self.first = self.extend(prompt)[-1]

    @property
    def length(self) -> int:
        return self._cache.get_seq_length()

    @torch.inference_mode()
    def extend(self, tokens: Sequence[int]) -> torch.Tensor:
        ids = torch.tensor([list(tokens)])
        return self._model(ids, past_key_values=self._cache, use_cache=True).logits[0]

    def crop(self, length: int) -> None:
        if length < self.length:
            self._cache.crop(length - self.length)

    def draft(self, share: float, seed: int) -> Reading:
        self.drafts += 1
        return Reading(self._model, self.prompt[: max(1, int(len(self.prompt) * share))], self.end)


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=12,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        eos_token_id=11,
        bos_token_id=0,
        pad_token_id=0,
    )
    made = LlamaForCausalLM(config).train(False)
    for each in made.parameters():
        each.data *= 6
    return made


PROMPT = [3, 1, 4, 1, 5, 9, 2, 6]


@pytest.mark.parametrize(
    "line", ["specvlm 0.5", "specvlm 1 gamma=7", "specvlm 0.2 draft=lookup", "specvlm 1 gamma=0"]
)
@pytest.mark.parametrize("end", [frozenset(), frozenset({2, 7})])
def test_the_answer_is_the_plain_one_token_by_token(model, line, end):
    plain = greedy(Reading(model, PROMPT, end), MOST)
    assert generate(Reading(model, PROMPT, end), MOST, parse(line)) == plain


def test_a_draft_that_knows_the_answer_saves_passes_and_one_that_lies_costs_none_of_it(model):
    plain = greedy(Reading(model, PROMPT), MOST)

    class Fixed:
        def __init__(self, answer: list[int]) -> None:
            self.answer = answer

        def propose(self, said: Sequence[int], most: int) -> list[int]:
            return self.answer[len(said) : len(said) + most]

    knows = speculate(Reading(model, PROMPT), Fixed(plain), MOST, gamma=4)
    lies = speculate(Reading(model, PROMPT), Fixed([(word + 1) % 12 for word in plain]), MOST, gamma=4)
    assert knows.tokens == lies.tokens == plain
    assert knows.passes <= MOST // 5 + 1 and knows.accepted == knows.proposed
    assert lies.passes == MOST - 1 and lies.accepted == 0


def test_a_model_that_drafts_for_itself_is_always_right(model):
    told = speculate(Reading(model, PROMPT), Elastic(Reading(model, PROMPT)), MOST, gamma=3)
    assert told.accepted == told.proposed > 0


def test_one_word_is_never_drafted(model):
    reader = Reading(model, PROMPT)
    told = tell(reader, 1, parse("specvlm 0.5"))
    assert told.passes == told.proposed == reader.drafts == 0
    assert told.tokens == greedy(Reading(model, PROMPT), 1)


def test_a_table_says_what_followed_most_often_and_comes_back_from_disk(tmp_path):
    table = Table.of([[1, 2, 3, 4], [1, 2, 3, 4], [5, 2, 9]])
    assert (
        table.propose([1], 3) == [2, 3, 4] and table.propose([5], 5) == [2, 9] and table.propose([8], 3) == []
    )
    table.write(tmp_path / "table.json")
    assert Table.read(tmp_path / "table.json") == table
    (tmp_path / "table.json").write_text("[]")
    with pytest.raises(ValueError, match="no table of following words"):
        Table.read(tmp_path / "table.json")
    assert Lookup([1, 2, 3, 9, 9]).propose([1, 2], 2) == [3, 9] and Lookup([1]).propose([7], 2) == []

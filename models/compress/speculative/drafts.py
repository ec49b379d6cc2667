"""Guessers, from dear to nearly free."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.compress.interface import Reader
from models.compress.speculative.loop import Told, speculate
from models.compress.step import Step

ORDER = 3
"""Words that a table looks back."""


class Elastic:
    """A model that read the same prompt with fewer visual tokens, speaking greedily for itself.

    It pays when the model is smaller than the one that checks; the same model is as slow as its checker.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader, self._begin = reader, reader.length
        self._held: list[int] = []

    def propose(self, said: Sequence[int], most: int) -> list[int]:
        common = _common(self._held, said[:-1])
        self._reader.crop(self._begin + common)
        self._held = [*self._held[:common], *said[common:]]
        logits = self._reader.extend(said[common:])[-1]
        guess = [int(logits.argmax())]
        while len(guess) < most and guess[-1] not in self._reader.end:
            self._held.append(guess[-1])
            guess.append(int(self._reader.extend(guess[-1:])[-1].argmax()))
        return guess


class Lookup:
    """What followed the last words where they stood before, in the prompt or the answer (prompt lookup)."""

    def __init__(self, prompt: Sequence[int], order: int = ORDER) -> None:
        self._prompt, self._order = list(prompt), order

    def propose(self, said: Sequence[int], most: int) -> list[int]:
        text = [*self._prompt, *said]
        for size in range(min(self._order, len(text) - 1), 0, -1):
            last = text[-size:]
            for start in range(len(text) - size - 1, -1, -1):
                if text[start : start + size] == last:
                    return text[start + size : start + size + most]
        return []


@dataclass(frozen=True)
class Table:
    """Learned from answers of the model itself: the word that most often followed the last `order` words, or
    fewer where those were never seen. `following` maps words, joined by blanks, to the next one."""

    order: int
    following: Mapping[str, int]

    @classmethod
    def of(cls, answers: Sequence[Sequence[int]], order: int = ORDER) -> Table:
        """Ties go to the word that came first."""
        counts: dict[str, Counter[int]] = defaultdict(Counter)
        for answer in answers:
            for place in range(1, len(answer)):
                for size in range(1, min(order, place) + 1):
                    counts[_key(answer[place - size : place])][answer[place]] += 1
        return cls(order, {key: found.most_common(1)[0][0] for key, found in counts.items()})

    @classmethod
    def read(cls, path: Path) -> Table:
        """Raises ValueError for a file that `write` did not write."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls(int(found["order"]), {str(key): int(word) for key, word in found["following"].items()})
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} is no table of following words: {error}") from error

    def write(self, path: Path) -> None:
        content = {"order": self.order, "following": dict(self.following)}
        path.write_text(json.dumps(content) + "\n", encoding="utf-8")

    def propose(self, said: Sequence[int], most: int) -> list[int]:
        words = list(said)
        while len(words) - len(said) < most:
            next_ = self._next(words)
            if next_ is None:
                break
            words.append(next_)
        return words[len(said) :]

    def _next(self, words: Sequence[int]) -> int | None:
        for size in range(min(self.order, len(words)), 0, -1):
            if (found := self.following.get(_key(words[-size:]))) is not None:
                return found
        return None


def generate(reader: Reader, most: int, step: Step) -> list[int]:
    """The step "specvlm SHARE [draft=elastic|lookup] [table=FILE] [gamma=4]", of the kind decode.

    `draft=elastic` is the same model over SHARE of the visual tokens (training-free); `table` names a file of
    `Table.write` and takes its place.
    """
    return tell(reader, most, step).tokens


def tell(reader: Reader, most: int, step: Step) -> Told:
    """As `generate`, with what it took. Raises ValueError for a table that is none."""
    gamma = step.whole("gamma", 4)
    if most == 1 or gamma == 0:
        return speculate(reader, Lookup(()), most, 0)
    if file := step.options.get("table"):
        return speculate(reader, Table.read(Path(file)), most, gamma)
    if step.word("draft", ("elastic", "lookup")) == "lookup":
        return speculate(reader, Lookup(reader.prompt), most, gamma)
    return speculate(reader, Elastic(reader.draft(step.kept, step.seed)), most, gamma)


def _common(held: Sequence[int], said: Sequence[int]) -> int:
    for place, (ours, theirs) in enumerate(zip(held, said, strict=False)):
        if ours != theirs:
            return place
    return min(len(held), len(said))


def _key(words: Sequence[int]) -> str:
    return " ".join(map(str, words))

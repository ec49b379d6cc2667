"""A scene's prompt as token ids: the instruction, its pictures, and what opens the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.core import MAX_VIEWS
from models.vlm.inprocess.family import Family


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids around pictures: `before` the first; `opens` and `closes` each; `between` two; `after` the
    last.

    What is before the first picture's tokens is the same for every scene.
    """

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    image: int

    @property
    def prefix(self) -> int:
        """Tokens before the first visual one."""
        return len(self.before)

    def ids(self, sizes: tuple[int, ...]) -> list[int]:
        """Of a scene whose views have so many visual tokens each."""
        ids = list(self.before)
        for number, size in enumerate(sizes):
            ids += (self.between if number else ()) + (self.image,) * size
        return [*ids, *self.after]


def write(tokenizer: Any, family: Family, image: int, instruction: str) -> Prompt:
    """The prompt of `instruction` and then pictures, by the tokenizer's chat template where it has one.

    Raises ValueError with a sentence when the template does not write pictures where they are put.
    """
    token = tokenizer.convert_ids_to_tokens(image)
    mark = family.mark or token
    text = _text(tokenizer, instruction, mark)
    pieces = text.split(mark)
    if len(pieces) != 3:
        raise ValueError(f"the chat template writes {len(pieces) - 1} times {mark!r} for two pictures")
    first, middle, last = pieces

    def ids(piece: str) -> tuple[int, ...]:
        return tuple(tokenizer(piece, add_special_tokens=False)["input_ids"])

    return Prompt(
        ids(first + family.before),
        ids(family.after + middle + family.before),
        ids(family.after + last),
        image,
    )


def _text(tokenizer: Any, instruction: str, mark: str) -> str:
    """A prompt with two pictures."""
    if not getattr(tokenizer, "chat_template", None):
        return f"{tokenizer.bos_token or ''}{instruction} {mark}{mark} "
    parts = [{"type": "text", "text": instruction}, {"type": "image"}, {"type": "image"}]
    said: str = tokenizer.apply_chat_template(
        [{"role": "user", "content": parts}], tokenize=False, add_generation_prompt=True
    )
    return said


def check(views: int) -> None:
    """Raises ValueError unless there are one to six."""
    if not 1 <= views <= MAX_VIEWS:
        raise ValueError(f"a scene has 1 to {MAX_VIEWS} views, not {views}")

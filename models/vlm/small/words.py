"""The closed vocabulary: a token is a word. The question before the views, an answer and its reason after."""

from __future__ import annotations

from collections.abc import Sequence

PAD, BOS, ANSWER, EOS = "<pad>", "<bos>", "<answer>", "<eos>"
QUESTION = ("is", "there", "roadwork", "in", "any", "of", "these", "views", "?")
YES, NO = "yes", "no"
OBJECTS = ("works", "cones", "drums", "barriers", "signs", "machines", "workers")
"""What reasons may name, in the order of `models.scenes.stencil.LABELS`."""
SIDES = ("on the left", "ahead", "on the right")
NOTHING = ("nothing", "seen")
WORDS = tuple(
    dict.fromkeys(
        (PAD, BOS, ANSWER, EOS, *QUESTION, YES, NO, ":", "and", *OBJECTS, *" ".join(SIDES).split(), *NOTHING)
    )
)
TOKENS = {word: number for number, word in enumerate(WORDS)}
PROMPT = (BOS, *QUESTION)
LONGEST = 14
"""Most tokens of an answer, the end included."""


def encode(words: Sequence[str]) -> list[int]:
    """Raises KeyError for a word that is not in the vocabulary."""
    return [TOKENS[word] for word in words]


def decode(tokens: Sequence[int]) -> str:
    """The text up to the end mark, a space before each word but ":"."""
    words = []
    for token in tokens:
        if WORDS[token] == EOS:
            break
        words.append(WORDS[token])
    return " ".join(words).replace(" :", ":")


def answer(roadwork: bool, objects: Sequence[str] = (), side: str | None = None) -> list[str]:
    """The words of an answer: "yes: cones and signs on the left"; at most three objects, of `OBJECTS`."""
    if not roadwork:
        return [NO, ":", *NOTHING, EOS]
    named: list[str] = []
    for number, name in enumerate(objects[:3] or ("works",)):
        named += ["and", name] if number else [name]
    return [YES, ":", *named, *(side.split() if side else ()), EOS]

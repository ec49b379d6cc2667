"""From the first token's log-probabilities to P(yes). Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from models.vlm.member import Absent

_AROUND = " \t\r\n▁Ġ.,:;!?\"'`*_()[]"
"""What may stand around a label without changing it: blanks, tokenizers' marks of a blank, punctuation."""

_NEVER = 1e-30
"""Stands for a probability that a server rounded to nothing, so that its logarithm is finite."""


@dataclass(frozen=True, slots=True)
class Labels:
    """The words for the two answers; every spelling of one counts (case, blanks, punctuation around it)."""

    yes: tuple[str, ...] = ("yes",)
    no: tuple[str, ...] = ("no",)

    def __post_init__(self) -> None:
        words = [*self.yes, *self.no]
        if not self.yes or not self.no or len({spelled(word) for word in words}) != len(words):
            raise ValueError("both answers need words, and no word may mean both")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a first token says.

    `log_odds` log(P(yes) / P(no)), finite, uncalibrated.
    `mass`     probability in [0, 1] that the model gave to the labels at all: low means that it answered
               something else.
    """

    log_odds: float
    mass: float


@dataclass(frozen=True, slots=True)
class LowMass:
    """What to do when the labels got less than `least` of the probability.

    "absent": the member does not speak. "wide": the rest of the probability is split evenly between the two
    answers, which pulls the log-odds towards 0 as far as the model was undecided about answering at all.
    """

    least: float = 0.25
    rule: Literal["absent", "wide"] = "absent"

    def __post_init__(self) -> None:
        if not 0 <= self.least <= 1:
            raise ValueError(f"the least label mass must lie in [0, 1], not {self.least}")

    def apply(self, reading: Reading) -> Reading:
        """The reading to use. Raises Absent."""
        if reading.mass >= self.least:
            return reading
        if self.rule == "absent":
            raise Absent(f"label_mass:{reading.mass:.3g}")
        yes = reading.mass / (1 + math.exp(-max(min(reading.log_odds, 700.0), -700.0)))
        rest = (1 - reading.mass) / 2
        return Reading(math.log(yes + rest) - math.log(reading.mass - yes + rest), reading.mass)


def spelled(token: str) -> str:
    """The word that a token spells: "Yes", " yes" and "**YES**" are all "yes"."""
    return token.strip(_AROUND).casefold()


def read(top: Sequence[Mapping[str, Any]], labels: Labels) -> Reading:
    """P(yes) from `top_logprobs` of the OpenAI chat shape: mappings with token, logprob and perhaps bytes.

    An answer with no spelling in the list has at most the probability of the last one listed, and at most
    what the list leaves over: that bound is used, so the log-odds errs towards 0. Raises Absent: "shape" when
    the list cannot be read, "label_mass:0" when neither answer is in it.
    """
    listed = list(_parsed(top))
    yes, no = (_mass(listed, {spelled(word) for word in words}) for words in (labels.yes, labels.no))
    if yes == no == 0:
        raise Absent("label_mass:0")
    unseen = max(min(min(p for _, p in listed), 1 - math.fsum(p for _, p in listed)), _NEVER)
    return Reading(math.log(yes or unseen) - math.log(no or unseen), min(yes + no, 1.0))


def read_probabilities(yes: Any, no: Any, mass: Any) -> Reading:
    """The same from probabilities that a server has summed itself. Raises Absent("shape")."""
    if not all(_is_probability(value) for value in (yes, no, mass)) or not yes + no > 0:
        raise Absent("shape")
    return Reading(math.log(max(yes, _NEVER)) - math.log(max(no, _NEVER)), min(float(mass), 1.0))


def _parsed(top: Sequence[Mapping[str, Any]]) -> Iterable[tuple[str, float]]:
    """(word, probability) of each listed token once: some servers repeat the sampled one."""
    seen = set()
    try:
        for one in top:
            token, logprob = _text(one), float(one["logprob"])
            if math.isnan(logprob) or logprob > 1e-3:
                raise Absent("shape")
            if (token, logprob) not in seen:
                seen.add((token, logprob))
                yield spelled(token), math.exp(min(logprob, 0.0))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Absent("shape") from error
    if not seen:
        raise Absent("no_logprobs")


def _text(one: Mapping[str, Any]) -> str:
    """The token's text by its bytes, where given: a piece of a character reads as a replacement character."""
    raw = one.get("bytes")
    return bytes(raw).decode(errors="replace") if raw else str(one["token"])


def _mass(listed: Iterable[tuple[str, float]], words: set[str]) -> float:
    return math.fsum(p for word, p in listed if word in words)


def _is_probability(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1 + 1e-6

"""`chat_logprobs`: one token of an OpenAI-compatible chat completion, read by its log-probabilities.

Portable: SGLang, vLLM, LMDeploy and TensorRT-LLM serve it. Instruction before pictures; no grammar, because a
constrained token's log-probabilities are those after the mask.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from models.core import Evidence
from models.vlm.labels import Reading, read, spelled
from models.vlm.member import Absent
from models.vlm.question import Question, check, content, with_extra
from models.vlm.server import Server

PATH = "/v1/chat/completions"
FINISHED = ("length", "stop")


@dataclass(frozen=True, slots=True)
class Answer:
    """`prompt_tokens`, `answer_tokens` as the server counts them; `weights` its version, where told."""

    reading: Reading
    prompt_tokens: int = 0
    answer_tokens: int = 0
    weights: str = ""


class ChatLogprobs:
    """P(yes) from the first token's log-probabilities, summed over spelling variants."""

    def __init__(self, name: str, server: Server, question: Question | None = None) -> None:
        self.name = name
        self.server = server
        self.question = question or Question()
        self.version = f"{server.address.model}#{self.question.digest('chat_logprobs', server.address.model)}"

    async def evidence(self, views: Sequence[bytes], deadline: float, request_id: str) -> Evidence:
        """See `RemoteTier`; features: label_mass."""
        answer, seconds = await self.answer(views, deadline, request_id)
        return to_evidence(self.name, self.version, self.question, answer.reading, seconds, answer.weights)

    async def answer(self, views: Sequence[bytes], deadline: float, request_id: str) -> tuple[Answer, float]:
        """The uncalibrated answer and the seconds it took. Raises Absent."""
        check(views)
        reader = partial(read_answer, question=self.question)
        body = partial(self.body, views)
        size = sum(map(len, views))
        return await self.server.ask(PATH, body, reader, deadline, request_id, size=size, named=True)

    def body(self, views: Sequence[bytes]) -> dict[str, Any]:
        """The request's body."""
        ours = {
            "model": self.server.address.model,
            "messages": [{"role": "user", "content": content(self.question.instruction, views)}],
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": self.question.top,
        }
        return with_extra(ours, self.question.extra)


def read_answer(body: Any, question: Question) -> Answer:
    """The answer in a chat completion. Raises Absent; an aborted one comes with status 200 and may be asked
    again."""
    try:
        choice = body["choices"][0]
        finish = choice["finish_reason"]
        if finish == "abort":
            raise Absent("aborted", again=True)
        if finish not in FINISHED:
            raise Absent(f"finish:{finish}")
        usage = body.get("usage") or {}
        return Answer(
            reading=question.low_mass.apply(_reading(choice, question)),
            prompt_tokens=int(usage.get("prompt_tokens") or 0),
            answer_tokens=int(usage.get("completion_tokens") or 0),
            weights=str((body.get("metadata") or {}).get("weight_version") or ""),
        )
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise Absent("shape") from error


def to_evidence(
    name: str, version: str, question: Question, reading: Reading, seconds: float, weights: str = ""
) -> Evidence:
    """Calibrated evidence; the version names the server's weights too, where it tells them."""
    return Evidence(
        tier=name,
        version=f"{version}@{weights}" if weights else version,
        log_odds=question.calibration.apply(reading.log_odds),
        cost_ms=seconds * 1e3,
        features={"label_mass": reading.mass},
    )


def _reading(choice: Mapping[str, Any], question: Question) -> Reading:
    tokens = (choice.get("logprobs") or {}).get("content") or []
    if tokens:
        return read(tokens[0]["top_logprobs"], question.labels)
    if question.text_odds is None:
        raise Absent("no_logprobs")
    return _in_words(str(choice["message"]["content"] or ""), question)


def _in_words(text: str, question: Question) -> Reading:
    assert question.text_odds is not None
    first = spelled((text.split() or [""])[0])
    for words, sign in ((question.labels.yes, 1.0), (question.labels.no, -1.0)):
        if first in {spelled(word) for word in words}:
            return Reading(math.copysign(abs(question.text_odds), sign), 1.0)
    raise Absent("label_mass:0")

"""`decisions`: SGLang's own scoring route, without generation.

The server words the prompt, so this is another member than `chat_logprobs` of the same server, with its own
calibration. Version 1 of the wording is pinned; gateways do not pass the route on. It takes no request id:
hanging up is the abort.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from models.core import Evidence
from models.vlm.chat import to_evidence
from models.vlm.labels import Reading, read_probabilities
from models.vlm.member import Absent
from models.vlm.question import Question, check, data_uri, with_extra
from models.vlm.server import Server

PATH = "/v1/decisions"
PROMPT_FORMAT = 1
ASKED = "roadwork"


class Decisions:
    """P(yes) and label mass as SGLang's `/v1/decisions` computes them."""

    def __init__(self, name: str, server: Server, question: Question | None = None) -> None:
        if server.address.dialect != "sglang":
            raise ValueError(f"{name}: only SGLang itself has {PATH}; ask by chat_logprobs instead")
        self.name = name
        self.server = server
        self.question = question or Question()
        self.version = f"{server.address.model}#{self.question.digest('decisions', server.address.model)}"

    async def evidence(self, views: Sequence[bytes], deadline: float, request_id: str) -> Evidence:
        """See `RemoteTier`; features: label_mass."""
        check(views)
        reader = partial(read_decision, question=self.question)
        body = partial(self.body, views)
        size = sum(map(len, views))
        reading, seconds = await self.server.ask(PATH, body, reader, deadline, request_id, size=size)
        return to_evidence(self.name, self.version, self.question, reading, seconds)

    def body(self, views: Sequence[bytes]) -> dict[str, Any]:
        """The request's body."""
        asked = {"id": ASKED, "type": "yes_no", "question": self.question.statement}
        ours = {
            "model": self.server.address.model,
            "input": self.question.context,
            "images": [data_uri(view) for view in views],
            "questions": [asked],
            "prompt_format_version": PROMPT_FORMAT,
        }
        return with_extra(ours, self.question.extra)


def read_decision(body: Any, question: Question) -> Reading:
    """The reading in a decision. Raises Absent."""
    try:
        if body["prompt_format_version"] != PROMPT_FORMAT:
            raise Absent(f"prompt_format:{body['prompt_format_version']}")
        answer = body["answers"][ASKED]
        probabilities = answer["probabilities"]
        found = read_probabilities(probabilities["yes"], probabilities["no"], answer["label_mass"])
    except (KeyError, TypeError, IndexError) as error:
        raise Absent("shape") from error
    return question.low_mass.apply(found)

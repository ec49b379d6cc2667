"""SGLang's scores are transformers' scores, picture by picture."""

from __future__ import annotations

import json
import math
import time

import pytest
from contract_suite import ANY_MASS, post_to
from real_sglang import in_its_environment

from miner.engine import picture
from models.vlm import Address, Question, Server
from models.vlm.chat import ChatLogprobs
from models.vlm.labels import spelled

SIDES = ((224,), (96, 128, 160), (64, 80, 224, 300, 448, 130))


@pytest.fixture(scope="module")
def question(vocabulary) -> Question:
    return Question(top=vocabulary, low_mass=ANY_MASS)


@pytest.mark.parametrize("sides", SIDES, ids=len)
async def test_every_log_probability_agrees_with_transformers_to_a_thousandth(
    supervised, tiny, question, sides
):
    views = [picture.png(side) for side in sides]
    server = Server(Address(url=supervised.spec.address, model="tiny"))
    member = ChatLogprobs("vlm", server, question)
    body = member.body(views)
    expected = json.loads(in_its_environment("reference.py", str(tiny), given=json.dumps(body)))
    answer = (await post_to(supervised.spec.address, "/v1/chat/completions", body)).json()
    said = await member.evidence(views, time.monotonic() + 60, "r")
    await server.close()

    assert answer["usage"]["prompt_tokens"] == expected["prompt"]
    listed = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    theirs = sorted((one["logprob"] for one in listed), reverse=True)
    assert theirs == pytest.approx(sorted(expected["logprobs"], reverse=True), abs=1e-3)
    assert said.log_odds == pytest.approx(by_words(expected), abs=1e-3)


async def test_pictures_change_the_answer(supervised, question):
    server = Server(Address(url=supervised.spec.address, model="tiny"))
    member = ChatLogprobs("vlm", server, question)
    said = [await member.evidence([picture.png(side)], time.monotonic() + 60, "r") for side in (64, 448)]
    await server.close()
    assert abs(said[0].log_odds - said[1].log_odds) > 1e-3


def by_words(expected: dict) -> float:
    """Log-odds of yes against no over all spellings, from transformers' probabilities."""
    sums = {"yes": 0.0, "no": 0.0}
    for word, logprob in zip(expected["tokens"], expected["logprobs"], strict=False):
        if spelled(word) in sums:
            sums[spelled(word)] += math.exp(logprob)
    return math.log(sums["yes"]) - math.log(sums["no"])

"""What we rely on in a server, whichever it is: imported by the test files of the fake and of the real one.

The importing module has a fixture `live`: a `Live`.
"""

from __future__ import annotations

import asyncio
import base64
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx
import pytest

from miner.engine import picture
from models.vlm import Absent, Address, Question, Server, ask_by
from models.vlm.chat import ChatLogprobs
from models.vlm.labels import LowMass

ANY_MASS = LowMass(least=0.0)
"""A random model gives the labels next to nothing; the contract is about shapes, not about wisdom."""


@dataclass(frozen=True)
class Live:
    """A server to test. `pictures` six encoded ones; `top` as many log-probabilities as list both answers."""

    url: str
    model: str
    pictures: tuple[bytes, ...]
    top: int = 20
    slow: bool = False

    @property
    def question(self) -> Question:
        return Question(top=self.top, low_mass=ANY_MASS)

    def server(self, **address) -> Server:
        return Server(Address(**{"url": self.url, "model": self.model, **address}))


def plain_pictures(many: int = 6) -> tuple[bytes, ...]:
    return tuple(picture.png(side) for side in range(64, 64 + many))


def soon(seconds: float = 30.0) -> float:
    return time.monotonic() + seconds


async def get(live: Live, path: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=live.url, trust_env=False, timeout=60) as client:
        return await client.get(path)


async def post(live: Live, path: str, body: object) -> httpx.Response:
    return await post_to(live.url, path, body)


async def post_to(url: str, path: str, body: object) -> httpx.Response:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
        return await client.post(path, json=body)


async def reason(waiting) -> str:
    with pytest.raises(Absent) as caught:
        await waiting
    return caught.value.reason


def by_hand(top: Sequence[dict]) -> tuple[float, float]:
    """(log-odds, mass) of yes against no, computed the long way."""
    sums = {"yes": 0.0, "no": 0.0}
    for one in top:
        word = bytes(one["bytes"]).decode(errors="replace").strip().strip(".,!\"'").lower()
        if word in sums:
            sums[word] += math.exp(one["logprob"])
    return math.log(sums["yes"]) - math.log(sums["no"]), sums["yes"] + sums["no"]


async def test_a_server_says_that_it_is_ready_and_what_it_serves(live):
    assert (await get(live, "/ready")).status_code == 200
    listed = (await get(live, "/v1/models")).json()["data"]
    assert live.model in [one["id"] for one in listed]


@pytest.mark.parametrize("protocol", ["chat_logprobs", "decisions"])
@pytest.mark.parametrize("views", [1, 6])
async def test_one_to_six_views_give_finite_evidence_with_its_label_mass(live, protocol, views):
    server = live.server()
    member = ask_by(protocol, "vlm", server, live.question)
    said = await member.evidence(live.pictures[:views], soon(), "r1")
    await server.close()
    assert math.isfinite(said.log_odds) and said.tier == "vlm" and said.cost_ms > 0
    assert 0 < said.features["label_mass"] <= 1
    assert said.version.startswith(member.version)


async def test_evidence_is_the_sum_over_spellings_computed_by_hand(live):
    server = live.server()
    member = ChatLogprobs("vlm", server, live.question)
    body = member.body(live.pictures[:1])
    first = (await post(live, "/v1/chat/completions", body)).json()["choices"][0]["logprobs"]["content"][0]
    said = await member.evidence(live.pictures[:1], soon(), "r1")
    await server.close()
    log_odds, mass = by_hand(first["top_logprobs"])
    assert said.log_odds == pytest.approx(log_odds, abs=2e-2 if live.slow else 1e-9)
    assert said.features["label_mass"] == pytest.approx(mass, rel=2e-2 if live.slow else 1e-9)


async def test_the_same_question_gets_the_same_answer_on_one_server(live):
    server = live.server()
    member = ask_by("chat_logprobs", "vlm", server, live.question)
    said = await asyncio.gather(*(member.evidence(live.pictures[:1], soon(), f"r{n}") for n in range(6)))
    await server.close()
    assert max(one.log_odds for one in said) - min(one.log_odds for one in said) < 0.05


async def test_a_name_the_server_does_not_serve_is_absent_though_the_server_answers_200(live):
    server = live.server(model="somebody-elses")
    member = ask_by("chat_logprobs", "vlm", server, live.question)
    raw = await post(live, "/v1/chat/completions", member.body(live.pictures[:1]))
    said = await reason(member.evidence(live.pictures[:1], soon(), "r1"))
    await server.close()
    assert raw.status_code == 200
    assert said == f"wrong_model:{live.model}"


async def test_a_picture_that_cannot_be_decoded_is_a_400_and_not_retried(live):
    server = live.server()
    member = ChatLogprobs("vlm", server, live.question)
    broken = b"\xff\xd8\xff" + b"nothing of a JPEG"
    if not live.slow:
        broken = base64.b64decode("AAAA")
        body = member.body(live.pictures[:1])
        body["messages"][0]["content"][1]["image_url"]["url"] = "data:image/jpeg;base64,AAAA"
        assert (await post(live, "/v1/chat/completions", body)).status_code == 400
    said = await reason(member.evidence([broken], soon(), "r1"))
    await server.close()
    assert said == ("refused:400" if live.slow else "views")


async def test_another_wording_version_of_decisions_is_refused(live):
    body = {
        "model": live.model,
        "input": "x",
        "questions": [{"id": "q", "type": "yes_no", "question": "Is it?"}],
    }
    assert (await post(live, "/v1/decisions", {**body, "prompt_format_version": 2})).status_code == 400
    assert (await post(live, "/v1/decisions", {**body, "rid": "ours"})).status_code == 400


async def test_an_aborted_question_comes_back_with_200_and_is_absent(live):
    """Many tokens, so that there is something to abort."""
    server = live.server(tries=1)
    long = Question(top=live.top, low_mass=ANY_MASS, extra={"max_tokens": 2500, "ignore_eos": True})
    if not live.slow:
        await post(live, "/fake/set", {"slow_s": 20.0})
    waiting = asyncio.create_task(ChatLogprobs("vlm", server, long).evidence(live.pictures[:1], soon(), "r1"))
    for _ in range(100):
        await asyncio.sleep(0.1)
        await post(live, "/abort_request", {"abort_all": True})
        if waiting.done():
            break
    assert await reason(waiting) == "aborted"
    await server.close()


async def test_a_paused_server_is_not_ready_makes_questions_wait_and_then_answers_them(live):
    server = live.server()
    member = ask_by("chat_logprobs", "vlm", server, live.question)
    await post(live, "/pause_generation", {"mode": "abort"})
    try:
        assert (await get(live, "/ready")).status_code == 503
        assert await reason(member.evidence(live.pictures[:1], soon(1.0), "r1")) == "deadline"
        waiting = asyncio.create_task(member.evidence(live.pictures[:1], soon(), "r2"))
        await asyncio.sleep(0.3)
        assert not waiting.done()
    finally:
        await post(live, "/continue_generation", {})
    assert math.isfinite((await waiting).log_odds)
    assert (await get(live, "/ready")).status_code == 200
    await server.close()

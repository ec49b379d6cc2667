"""A VLM tells of a scene in words: asked for JSON, read leniently, absent in time; and --describe."""

from __future__ import annotations

import json

import pytest
from contract_suite import plain_pictures, reason, soon

from miner.classify.described import NoTeller, described, teller
from miner.classify.scenes import Row, Scene
from miner.settings import Settings
from models.core import Box, Verdict
from models.told import ASK
from models.vlm import Address, Server
from models.vlm.chat import ChatLogprobs
from models.vlm.tell import MOST_TOKENS, tell

SAID = 'Here: {"signs": 1, "cones": 6, "barriers": 0, "workers": 2, "machines": 0, "stage": "active"}.'


@pytest.fixture
async def chat(fake):
    server = Server(Address(fake.url, fake.model))
    yield ChatLogprobs("vlm", server)
    await server.close()


async def test_it_is_asked_for_json_and_what_it_says_is_read(fake, chat):
    fake.set(top=[(SAID, -0.1)])
    told = await tell(chat, plain_pictures()[:2], soon(20.0), "d1")
    assert told.counts == {"sign": 1, "cone": 6, "worker": 2} and told.stage == "active"
    (_, body), *_ = [asked for asked in fake.asked if "messages" in asked[1]]
    first, *pictures = body["messages"][0]["content"]
    assert first["text"] == ASK and len(pictures) == 2 and body["max_tokens"] == MOST_TOKENS


async def test_an_answer_without_json_tells_nothing_and_no_answer_is_absent(fake, chat):
    fake.set(top=[("I see a street.", -0.1)])
    assert await tell(chat, plain_pictures()[:1], soon(20.0), "d2") is None
    fake.set(statuses=[400])
    assert await reason(tell(chat, plain_pictures()[:1], soon(20.0), "d3")) == "refused:400"
    assert await reason(tell(chat, [b"no picture"], soon(5.0), "d4")) == "views"


def cascade(folder, url, model):
    tiers = [{"kind": "classifier"}, {"kind": "vlm", "url": url, "model": model}]
    (folder / "cascade.json").write_text(json.dumps({"name": "mine", "tiers": tiers}), encoding="utf-8")
    return Settings(cascade={"path": str(folder)})


async def test_classify_describes_what_was_judged_and_the_verdict_stays(fake, tmp_path):
    fake.set(top=[(SAID, -0.1)])
    file = tmp_path / "a.jpg"
    file.write_bytes(plain_pictures()[0])
    verdict = Verdict("a", 0.3, log_odds=-0.8, boxes=(Box(0, "cone", 0.9, 0.1, 0.1, 0.2, 0.2),))
    rows = [Row(Scene((file,)), verdict), Row(Scene((file,)), reason="corrupt")]
    judged, unjudged = await described(rows, cascade(tmp_path, fake.url, fake.model))
    assert judged.layout.counts == {"cone": 6, "sign": 1, "worker": 2} and judged.verdict == verdict
    assert unjudged == rows[1] and not unjudged.layout.counts


async def test_a_server_that_is_away_costs_the_words_only(tmp_path):
    file = tmp_path / "a.jpg"
    file.write_bytes(plain_pictures()[0])
    rows = [Row(Scene((file,)), Verdict("a", 0.3, log_odds=-0.8))]
    assert await described(rows, cascade(tmp_path, "http://127.0.0.1:9", "m")) == rows


def test_without_a_vlm_there_is_nobody_to_describe():
    with pytest.raises(NoTeller, match="member of kind vlm"):
        teller(Settings())

"""The client of one server: absent in time whatever it does, and never more asked of it than its slots."""

from __future__ import annotations

import asyncio
import math
import time

import httpx
import pytest
from contract_suite import plain_pictures, reason, soon

from models.vlm import Address, Question, Server, ask_by, create_member
from models.vlm.chat import ChatLogprobs

PICTURES = plain_pictures()


def member(fake, protocol: str = "chat_logprobs", **address):
    server = Server(Address(**{"url": fake.url, "model": fake.model, **address}))
    return ask_by(protocol, "vlm", server)


async def ask(one, within_s: float = 20.0, views=PICTURES[:1], rid: str = "r1"):
    return await one.evidence(views, soon(within_s), rid)


@pytest.mark.parametrize("protocol", ["chat_logprobs", "decisions"])
@pytest.mark.parametrize("trouble", [{"hang": True}, {"deaf": True}, {"slow_s": 30.0}])
async def test_a_server_that_does_not_answer_is_absent_before_the_deadline(fake, protocol, trouble):
    one = member(fake, protocol)
    await ask(one)
    fake.set(**trouble)
    start = time.monotonic()
    assert await reason(ask(one, 0.4)) == "deadline"
    assert time.monotonic() - start < 5
    await one.server.close()


async def test_at_the_deadline_the_request_is_aborted_by_an_id_of_our_own(fake):
    one = member(fake)
    fake.set(hang=True)
    assert await reason(ask(one, 0.4, rid="challenge-7")) == "deadline"
    await until(lambda: fake.aborted)
    assert len(fake.aborted) == 1 and fake.aborted[0].endswith("-challenge-7")
    assert not fake.aborted[0].startswith("challenge")  # aborts go by prefix: ids must not share theirs
    await one.server.close()


async def test_an_abort_ends_one_request_and_leaves_the_others(fake):
    one = member(fake)
    fake.set(slow_s=1.0)
    patient = asyncio.create_task(ask(one, rid="1"))
    assert await reason(ask(one, 0.4, rid="11")) == "deadline"
    assert math.isfinite((await patient).log_odds)
    await one.server.close()


async def test_another_dialect_gets_no_request_id_and_no_abort(fake):
    one = member(fake, dialect="openai")
    fake.set(hang=True)
    assert await reason(ask(one, 0.3)) == "deadline"
    await asyncio.sleep(0.1)
    assert "rid" not in fake.asked[0][1] and not fake.aborted
    await one.server.close()


async def test_no_more_requests_than_slots_whatever_is_asked_and_the_rest_is_busy(fake):
    one = member(fake, slots=3)
    fake.set(slow_s=0.05)
    await asyncio.gather(*(ask(one, rid=str(n)) for n in range(20)))
    assert fake.most_running == 3
    fake.set(hang=True)
    said = await asyncio.gather(*(reason(ask(one, 0.5, rid=str(n))) for n in range(6)))
    assert sorted(said) == ["busy"] * 3 + ["deadline"] * 3
    await one.server.close()


async def test_members_of_one_server_share_its_slots(fake):
    server = Server(Address(fake.url, fake.model, slots=2))
    members = [ask_by(protocol, protocol, server) for protocol in ("chat_logprobs", "decisions")]
    fake.set(slow_s=0.05)
    await asyncio.gather(*(ask(one, rid=str(n)) for n in range(6) for one in members))
    assert fake.most_running == 2
    await server.close()


async def test_pictures_travel_as_data_uris_after_the_instruction(fake):
    one = member(fake)
    await ask(one, views=PICTURES)
    content = fake.asked[-1][1]["messages"][0]["content"]
    assert content[0] == {"type": "text", "text": Question().instruction}
    urls = [part["image_url"]["url"] for part in content[1:]]
    assert len(urls) == 6 and all(url.startswith("data:image/png;base64,") for url in urls)
    await one.server.close()


@pytest.mark.parametrize("views", [[], PICTURES[:1] * 7, [b"http://evil/x.jpg"], [b""]])
async def test_what_is_no_picture_is_never_sent(fake, views):
    one = member(fake)
    assert await reason(ask(one, views=views)) == "views"
    assert not fake.asked
    await one.server.close()


@pytest.mark.parametrize(
    ("trouble", "said", "asked"),
    [
        ({"abort": 1}, None, 2),
        ({"abort": 9}, "aborted", 3),
        ({"statuses": [503]}, None, 2),
        ({"statuses": [500]}, "server:500", 1),
        ({"statuses": [400]}, "refused:400", 1),
        ({"statuses": [429, 429, 429]}, "server:429", 3),
        ({"nonsense": "not json"}, "shape", 1),
        ({"nonsense": "[]"}, "shape", 1),
        ({"nonsense": '{"choices": [{"finish_reason": "content_filter"}]}'}, "finish:content_filter", 1),
        ({"nonsense": '{"choices": [{"finish_reason": "stop", "logprobs": null}]}'}, "no_logprobs", 1),
        ({"models": ["another"]}, "wrong_model:another", 0),
    ],
)
async def test_what_is_asked_again_and_what_is_absent_at_once(fake, trouble, said, asked):
    one = member(fake)
    fake.set(**trouble)
    if said is None:
        assert math.isfinite((await ask(one)).log_odds)
    else:
        assert await reason(ask(one)) == said
        assert one.server.status().reason == said
    assert len(fake.asked) == asked
    await one.server.close()


async def test_a_server_that_is_gone_is_not_asked_for_a_while_and_comes_back(fake):
    one = member(fake, tries=1)
    port = fake.server_address[1]
    fake.stop()
    said = [await reason(ask(one)) for _ in range(4)]
    assert said == ["unreachable"] * 3 + ["down"]
    again = type(fake)(port=port).start()
    try:
        await until(lambda: one.server.status().down is False)
        assert math.isfinite((await ask(one)).log_odds)
    finally:
        again.stop()
    await one.server.close()


async def test_a_model_swapped_under_the_name_is_noticed_at_the_next_look(fake):
    one = member(fake, check_s=0.05)
    await ask(one)
    fake.set(models=["somebody-elses"])
    await asyncio.sleep(0.1)
    assert await reason(ask(one)) == "wrong_model:somebody-elses"
    await one.server.close()


async def test_the_version_tells_prompt_and_weights(fake):
    one = member(fake)
    said = await ask(one)
    assert said.version == f"{one.version}@default"
    other = ChatLogprobs("vlm", one.server, Question(instruction="Roadwork? yes or no"))
    assert other.version != one.version
    await one.server.close()


async def test_a_key_is_sent_and_never_shown(fake, monkeypatch):
    fake.key = "secret-0123456789"
    monkeypatch.setenv("VLM_KEY", "secret-0123456789")
    one = create_member(url=fake.url, model=fake.model, key_env="VLM_KEY")
    assert math.isfinite((await ask(one)).log_odds)
    assert "secret" not in repr(one.server.address) + repr(one.server.status())
    bare = create_member(url=fake.url, model=fake.model)
    assert await reason(ask(bare)) == "refused:401"
    await one.server.close()
    await bare.server.close()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"url": "ftp://x"}, "starts with http"),
        ({"protocol": "telepathy"}, "there are: chat_logprobs, decisions"),
        ({"protocol": "decisions", "dialect": "openai"}, "ask by chat_logprobs instead"),
        ({"slots": 0}, "at least one slot"),
        ({"colour": "red"}, "no option of a VLM member is called colour"),
        ({"calibration": {"temperature": -1}}, "temperature must be a positive number"),
        ({"key_env": "NO_SUCH_KEY"}, "NO_SUCH_KEY"),
        ({"top": 0}, "top"),
    ],
)
def test_options_that_cannot_be_are_refused_with_a_sentence(options, sentence):
    with pytest.raises(ValueError, match="vlm: ") as caught:
        create_member(**{"url": "http://x", "model": "m", **options})
    assert sentence in str(caught.value)


async def test_a_member_of_plain_options_is_calibrated_and_shares_a_server_by_address(fake):
    servers: dict[str, Server] = {}
    plain = create_member(url=fake.url, model=fake.model, servers=servers)
    half = create_member(
        url=fake.url, model=fake.model, servers=servers, calibration={"temperature": 2.0},
        labels={"yes": ["yes"], "no": ["no"]}, device="cuda:0",
    )  # fmt: skip
    assert plain.server is half.server
    said, calibrated = await ask(plain), await ask(half)
    assert calibrated.log_odds == pytest.approx(said.log_odds / 2)
    await plain.server.close()


async def test_an_answer_that_never_ends_is_cut_off(fake):
    fake.set(nonsense="x" * (5 * 2**20))
    one = member(fake)
    assert await reason(ask(one)) == "shape"
    await one.server.close()


async def test_a_closed_client_is_down(fake):
    one = member(fake)
    await one.server.close()
    assert await reason(ask(one)) == "down:closed"


async def test_an_unanswered_connection_counts_as_unreachable():
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no", request=request)

    server = Server(Address("http://nowhere", "m", tries=2), transport=httpx.MockTransport(refuse))
    assert await reason(ask(ask_by("chat_logprobs", "vlm", server))) == "unreachable"
    await server.close()


async def until(what) -> None:
    end = time.monotonic() + 10
    while not what():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)

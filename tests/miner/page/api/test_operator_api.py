"""POST /v1/classify: what is asked is answered, at once or as a stream; nothing sent to it is our 500."""

import asyncio
import json

import httpx
import pytest
from api_kit import HERE, THERE, Engine, Port, forever, picture, text
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.engine.interface import Shed, Unavailable
from miner.page import PageServer
from miner.page.api.asked import SCENES
from miner.page.api.route import AT_ONCE, NDJSON
from miner.settings import Page
from models.core import BACKGROUND, Verdict

TOKEN = "correct-horse-battery"
ONE = {"image": text(picture(200))}


def test_a_picture_is_judged_behind_every_validator():
    port = Port()
    reply = port.post(json={"image": text(picture(255))})
    said = reply.json()
    assert reply.status_code == 200 and said["prediction"] == 1.0 and said["roadwork"] is True
    fields = {name: said[name] for name in Verdict("", 0.0).to_json()}
    assert Verdict.from_json(fields).boxes[0].label == "cone"
    (asked,) = port.engine.asked
    assert asked.priority == BACKGROUND and asked.views == (picture(255),)
    assert port.counted == ["answered"]


def test_views_of_one_scene_reach_the_engine_together_and_in_order():
    views = [picture(level) for level in (10, 20, 30, 40, 50, 60)]
    port = Port()
    assert port.post(json={"images": list(map(text, views))}).status_code == 200
    assert port.post(files=[("scene", view) for view in views]).status_code == 200
    assert [request.views for request in port.engine.asked] == [tuple(views)] * 2


def test_a_batch_keeps_its_order_and_one_bad_scene_spoils_no_other():
    scenes = [
        {"name": "bright", "images": [text(picture(255))]},
        {"images": [text(b"no picture")]},
        {"images": [text(picture(9)[:50])]},
        {"name": "dark", "images": [text(picture(0))]},
        {"name": "none", "images": []},
    ]
    port = Port()
    said = port.post(json={"scenes": scenes}).json()
    assert said["versions"] == {"brightness": "1"}
    assert [each["name"] for each in said["results"]] == ["bright", "1", "2", "dark", "none"]
    assert [each.get("error") for each in said["results"]] == [None, "format", "corrupt", None, "views"]
    assert [each.get("prediction") for each in said["results"]] == [1.0, None, None, 0.0, None]
    assert port.counted == ["partly"]


def test_of_a_series_the_progression_is_told_and_every_answer_has_its_layout():
    scenes = [{"images": [text(picture(9))]}, {"images": []}]
    said = Port().post(json={"scenes": scenes, "series": True}).json()
    assert said["progression"] == ["active", None]
    assert said["results"][0]["layout"]["counts"] == {"cone": 1}
    assert "progression" not in Port().post(json={"scenes": scenes}).json()


def test_a_form_groups_files_by_name():
    files = [("a", picture(0)), ("b", picture(255)), ("a", picture(51))]
    said = Port().post(files=files).json()["results"]
    assert [(each["name"], each["prediction"]) for each in said] == [("a", 0.2), ("b", 1.0)]


def test_a_stream_gives_each_scene_as_soon_as_it_is_known():
    async def slow_first(request):
        if request.views == (picture(1),):
            await asyncio.sleep(0.1)

    port = Port(Engine(wait=slow_first))
    scenes = [{"images": [text(picture(level))]} for level in (1, 2, 3)]
    reply = port.post(json={"scenes": scenes}, headers={"accept": NDJSON})
    assert reply.headers["content-type"].startswith(NDJSON)
    lines = [json.loads(line) for line in reply.text.splitlines()]
    assert [line["scene"] for line in lines][-1] == 0 and sorted(line["scene"] for line in lines) == [0, 1, 2]
    assert port.counted == ["answered"]


async def test_the_first_line_is_there_while_others_are_still_judged_and_leaving_ends_the_work():
    ended = asyncio.Event()

    async def second_hangs(request):
        if request.views == (picture(2),):
            try:
                await forever(request)
            finally:
                ended.set()

    port = Port(Engine(wait=second_hangs))
    server = PageServer(port.app, Page(port=0))
    await server.start()
    try:
        scenes = [{"images": [text(picture(level))]} for level in (1, 2)]
        how = {"json": {"scenes": scenes}, "headers": {"accept": NDJSON}}
        async with (
            httpx.AsyncClient() as http,
            http.stream("POST", f"{server.url}v1/classify", **how) as reply,
        ):
            first = await anext(reply.aiter_lines())
            assert json.loads(first)["scene"] == 0 and not ended.is_set()
        await asyncio.wait_for(ended.wait(), 10)
    finally:
        await server.stop()


@pytest.mark.parametrize(
    ("refusal", "status", "reason"),
    [
        (Shed("late"), 503, "busy"),
        (Unavailable("down"), 503, "down"),
        (Unavailable("deadline"), 503, "deadline"),
        (Unavailable("something new"), 503, "something new"),
    ],
)
def test_an_engine_that_cannot_is_said_and_counted(refusal, status, reason):
    port = Port(Engine(refuse=refusal))
    reply = port.post(json=ONE)
    assert (reply.status_code, reply.json()["error"]) == (status, reason)
    assert reply.headers["retry-after"] == "1" and port.counted == ["unanswered"]


def test_a_full_engine_is_asked_again_until_the_deadline():
    port = Port(Engine(refuse=Shed("full")))
    assert port.post(json={**ONE, "deadline_s": 0.2}).status_code == 503
    assert len(port.engine.asked) > 1


@pytest.mark.parametrize("asked_s", [1, 30.5, "as a form"])
def test_the_deadline_is_the_callers(asked_s):
    port = Port()
    if isinstance(asked_s, str):
        asked_s = 3.0
        port.post(files={"a": picture()}, data={"deadline_s": "3.0"})
    else:
        port.post(json={**ONE, "deadline_s": asked_s})
    port.post(json=ONE)
    hers, default = port.engine.asked
    assert hers.deadline - default.deadline == pytest.approx(asked_s - port.wire.answer_within_s, abs=0.5)


@pytest.mark.parametrize("deadline_s", [0, -1, 121, True, "soon", [], {}, 1e999, "nan", 10**400])
def test_a_deadline_that_makes_no_sense_is_refused(deadline_s):
    reply = Port().post(content=json.dumps({**ONE, "deadline_s": deadline_s}), headers=JSON)
    assert (reply.status_code, reply.json()["error"]) == (400, "deadline_s")


JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=x"}


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", JSON, 422),
        (b"[]", JSON, 422),
        (b"[" * 100_000, JSON, 422),
        (b"\xff\xfe", JSON, 422),
        (b"{}", JSON, 400),
        (b'{"image": 5}', JSON, 400),
        (b'{"image": "%%%"}', JSON, 422),
        (b'{"image": "", "images": []}', JSON, 400),
        (b'{"image": "", "colour": 1}', JSON, 400),
        (b'{"images": {}}', JSON, 400),
        (b'{"scenes": []}', JSON, 400),
        (b'{"scenes": [5]}', JSON, 400),
        (b'{"scenes": [{"images": [], "name": 5}]}', JSON, 400),
        (json.dumps({"scenes": [{"images": []}] * (SCENES + 1)}).encode(), JSON, 400),
        (json.dumps({"images": [ONE["image"]] * 7}).encode(), JSON, 422),
        (b'{"image": "aGk="}', JSON, 422),
        (b"x", {"content-type": "text/plain"}, 415),
        (b"x", {}, 415),
        (b"", FORM, 400),
        (b"--x\r\n", FORM, 400),
        (b"nothing of the kind", FORM, 400),
        (b"x", {"content-type": "multipart/form-data"}, 400),
        (b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\nhi\r\n--x--\r\n', FORM, 400),
        (b" " * (6 * 2**20 + 1), JSON, 413),
        (json.dumps({"image": text(picture(size=(6000, 5000)))}).encode(), JSON, 413),
    ],
)
def test_what_is_wrong_with_a_request_is_said(body, headers, status):
    port = Port()
    reply = port.post(content=body, headers=headers)
    assert reply.status_code == status
    assert set(reply.json()) >= {"error", "message"} and not port.engine.asked
    assert port.counted in (["refused"], ["unanswered"])


JSONS = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9) | st.just(ONE["image"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["image", "images", "scenes", "name", "deadline_s"]) | st.text(max_size=3), inner
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(
    body=JSONS.map(json.dumps).map(str.encode)
    | st.binary(max_size=200)
    | st.binary(max_size=80).map(
        lambda junk: (
            b'--x\r\ncontent-disposition: form-data; name="a"; filename="f"\r\n' + junk + b"\r\n--x--\r\n"
        )
    ),
    headers=st.sampled_from([JSON, FORM, {"content-type": "multipart/form-data; boundary=\xe9"}]),
)
def test_no_body_makes_us_fail(body, headers):
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    assert FUZZED.post(content=body, headers=encoded).status_code in (200, 400, 413, 415, 422)


FUZZED = Port()


@pytest.mark.parametrize(
    ("given_header", "status"),
    [
        ({"authorization": f"Bearer {TOKEN}"}, 200),
        ({"authorization": f"bearer {TOKEN}"}, 200),
        ({}, 401),
        ({"authorization": TOKEN}, 401),
        ({"authorization": f"Basic {TOKEN}"}, 401),
        ({"authorization": f"Bearer {TOKEN[:-1]}"}, 401),
        ({"authorization": f"Bearer {TOKEN}x"}, 401),
        ({"authorization": "Bearer \xe9\xe9".encode("latin-1")}, 401),
    ],
)
@pytest.mark.parametrize("client", [HERE, THERE])
def test_with_a_token_only_who_knows_it_is_answered(given_header, status, client):
    port = Port(client=client, token=TOKEN)
    reply = port.post(json=ONE, headers=given_header)
    assert reply.status_code == status and bool(port.engine.asked) is (status == 200)
    if status == 401:
        assert reply.headers["www-authenticate"] == "Bearer" and port.counted == ["unauthorised"]


@pytest.mark.parametrize(
    ("client", "headers", "status"),
    [
        (HERE, {}, 200),
        (("::1", 1), {}, 200),
        (("::ffff:127.0.0.1", 1), {}, 200),
        (THERE, {}, 403),
        (("::ffff:192.0.2.7", 1), {}, 403),
        (("somebody", 1), {}, 403),
        (HERE, {"x-forwarded-for": "127.0.0.1"}, 403),
        (HERE, {"forwarded": "for=192.0.2.7"}, 403),
    ],
)
def test_without_a_token_only_this_machine_is_answered(client, headers, status):
    assert Port(client=client).post(json=ONE, headers=headers).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://127.0.0.1:8092"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"host": "evil.example"}, 421),
    ],
)
def test_other_sites_pages_cannot_ask(headers, status):
    port = Port()
    assert port.post(files={"a": picture()}, headers=headers).status_code == status
    assert bool(port.engine.asked) is (status == 200)


async def test_too_many_at_once_are_turned_away_and_room_comes_back():
    leave = asyncio.Event()

    async def until_told(_):
        await leave.wait()

    port = Port(Engine(wait=until_told))
    transport = httpx.ASGITransport(port.app, client=HERE)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        waiting = [asyncio.create_task(http.post("/v1/classify", json=ONE)) for _ in range(AT_ONCE)]
        while len(port.engine.asked) < AT_ONCE:
            await asyncio.sleep(0.001)
        refused = await http.post("/v1/classify", json=ONE)
        assert refused.status_code == 429 and refused.headers["retry-after"] == "1"
        leave.set()
        assert {(await each).status_code for each in waiting} == {200}
        assert (await http.post("/v1/classify", json=ONE)).status_code == 200


def test_only_post_is_answered():
    assert Port().http.get("/v1/classify").status_code == 405

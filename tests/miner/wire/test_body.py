"""From the bytes of a body to views, or to the right refusal."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_kit import IMAGE, PNG, body, png

from miner.settings import Wire
from miner.wire.body import parse, read_body, views
from miner.wire.synapse import Rejected

WIRE = Wire(body_bytes=1000, body_timeout_s=0.05, image_bytes=500)


def source(*messages):
    waiting = list(messages)

    async def receive():
        return waiting.pop(0) if waiting else await asyncio.Event().wait()

    return receive


def part(data: bytes, more: bool = False) -> dict:
    return {"type": "http.request", "body": data, "more_body": more}


async def refused(awaitable) -> str:
    with pytest.raises(Rejected) as caught:
        await awaitable
    return caught.value.reason


def reason(fields) -> str:
    with pytest.raises(Rejected) as caught:
        views(fields, WIRE)
    return caught.value.reason


async def test_a_body_in_one_piece_or_several():
    assert await read_body(source(part(b"abc")), b"3", WIRE) == b"abc"
    assert await read_body(source(part(b"ab", True), part(b"", True), part(b"c")), None, WIRE) == b"abc"
    assert await read_body(source({"type": "http.request"}), None, WIRE) == b""


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (b"1001", "body_size"),
        (b"9" * 19, "body_size"),
        (b"9" * 9999, "body_size"),
        (b"-1", "length"),
        (b"x", "length"),
    ],
)
async def test_a_declared_length_over_the_cap_is_refused_unread(declared, expected):
    assert await refused(read_body(source(), declared, WIRE)) == expected


async def test_an_undeclared_length_over_the_cap_is_refused_on_the_way():
    endless = source(*[part(b"x" * 400, True)] * 10)
    assert await refused(read_body(endless, None, WIRE)) == "body_size"


async def test_a_body_that_stalls_times_out():
    assert await refused(read_body(source(part(b"x", True)), b"2", WIRE)) == "body_time"


async def test_a_client_that_leaves_is_gone():
    leaving = source(part(b"x", True), {"type": "http.disconnect"})
    assert await refused(read_body(leaving, b"2", WIRE)) == "gone"


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000]
)
def test_what_is_no_json_object(text):
    with pytest.raises(Rejected, match="body"):
        parse(text)


def test_one_image_or_up_to_six():
    other = base64.b64encode(png(4, 4)).decode()
    assert views(parse(body()), WIRE) == (PNG,)
    assert views({"images": [IMAGE, other]}, WIRE) == (PNG, png(4, 4))
    assert views({"images": [IMAGE] * 6, "image": ""}, WIRE) == (PNG,) * 6
    assert views({"images": None, "image": IMAGE}, WIRE) == (PNG,)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "body"),
        ({"image": 5}, "body"),
        ({"image": None}, "body"),
        ({"images": []}, "body"),
        ({"images": [IMAGE] * 7}, "body"),
        ({"images": "x"}, "body"),
        ({"images": [IMAGE, 5]}, "body"),
        ({"image": ""}, "image"),
        ({"image": "AAAA"}, "image"),
        ({"image": "AAA"}, "base64"),
        ({"image": "@@@@"}, "base64"),
        ({"image": IMAGE + "AAAA" if IMAGE.endswith("=") else IMAGE + "="}, "base64"),
        ({"image": "\ud800"}, "base64"),
        ({"image": "bärk"}, "base64"),
        ({"image": base64.b64encode(b"GIF89a" + bytes(50)).decode()}, "image"),
        ({"image": base64.b64encode(png(100_000, 100_000)).decode()}, "image_size"),
        ({"image": base64.b64encode(PNG + bytes(500)).decode()}, "image_size"),
    ],
)
def test_what_is_no_challenge(fields, expected):
    assert reason(fields) == expected


@pytest.mark.parametrize("break_", ["\n", "\r\n", " ", "\t"])
def test_whitespace_in_base64_is_accepted_as_the_reference_does(break_):
    broken = break_.join(IMAGE[i : i + 20] for i in range(0, len(IMAGE), 20)) + break_
    assert views({"image": broken}, WIRE) == (PNG,)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.just(IMAGE),
    lambda inner: (
        st.lists(inner, max_size=8) | st.dictionaries(st.sampled_from(["image", "images", "x"]), inner)
    ),
    max_leaves=12,
)


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_gives_views_or_a_refusal(content):
    try:
        found = views(parse(content), WIRE)
    except Rejected as rejected:
        assert 400 <= rejected.status < 500
    else:
        assert 1 <= len(found) <= 6

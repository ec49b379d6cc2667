"""From the bytes of a body to views, or to the right refusal."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_kit import IMAGE, PNG, Asking, body, png

from miner.settings import Wire
from miner.wire.auth import Incoming
from miner.wire.body import parse, read_body, views
from miner.wire.synapse import Rejected
from models.imaging.header import Limits

WIRE = Wire(body_bytes=1000, body_timeout_s=0.05)
LIMITS = Limits(bytes=500, pixels=WIRE.pixels)


def asked(*parts: bytes | None, declared: bytes | None = None, **more) -> Asking:
    given = {} if declared is None else {b"content-length": declared}
    return Asking(Incoming("POST", "/ImageSynapse", given), parts=list(parts), **more)


async def refused(awaitable) -> str:
    with pytest.raises(Rejected) as caught:
        await awaitable
    return caught.value.reason


def reason(fields) -> str:
    with pytest.raises(Rejected) as caught:
        views(fields, LIMITS)
    return caught.value.reason


async def test_a_body_in_one_piece_or_several():
    assert await read_body(asked(b"abc", declared=b"3", whole=True), WIRE) == b"abc"
    assert await read_body(asked(b"abc", declared=b"3"), WIRE) == b"abc"
    assert await read_body(asked(b"ab", b"", b"c"), WIRE) == b"abc"
    assert await read_body(asked(b""), WIRE) == b""


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
    assert await refused(read_body(asked(declared=declared), WIRE)) == expected


async def test_an_undeclared_length_over_the_cap_is_refused_on_the_way():
    assert await refused(read_body(asked(*[b"x" * 400] * 10), WIRE)) == "body_size"
    assert await refused(read_body(asked(b"x" * 1001, whole=True), WIRE)) == "body_size"


async def test_a_body_that_stalls_times_out():
    class Stalling(Asking):
        more_body = True

    stalling = Stalling(Incoming("POST", "/ImageSynapse", {b"content-length": b"2"}), parts=[b"x"])
    assert await refused(read_body(stalling, WIRE)) == "body_time"


async def test_a_client_that_leaves_is_gone():
    assert await refused(read_body(asked(b"x", None, declared=b"2"), WIRE)) == "gone"


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000]
)
def test_what_is_no_json_object(text):
    with pytest.raises(Rejected, match="body"):
        parse(text)


def test_one_image_or_up_to_six():
    other = base64.b64encode(png(4, 4)).decode()
    assert views(parse(body()), LIMITS) == (PNG,)
    assert views({"images": [IMAGE, other]}, LIMITS) == (PNG, png(4, 4))
    assert views({"images": [IMAGE] * 6, "image": ""}, LIMITS) == (PNG,) * 6
    assert views({"images": None, "image": IMAGE}, LIMITS) == (PNG,)


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
    assert views({"image": broken}, LIMITS) == (PNG,)


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
        found = views(parse(content), LIMITS)
    except Rejected as rejected:
        assert 400 <= rejected.status < 500
    else:
        assert 1 <= len(found) <= 6

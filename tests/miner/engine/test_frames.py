"""What front and child say to each other survives any cutting of the stream, and nonsense is called so."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.engine import frames
from miner.engine.interface import BadImage, Shed, Unavailable
from models.core import Request, Verdict

texts = st.text(max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)
requests = st.builds(
    Request,
    id=texts,
    hotkey=texts,
    caller=texts,
    views=st.lists(st.binary(max_size=50), min_size=1, max_size=6).map(tuple),
    deadline=numbers,
    priority=numbers,
)
verdicts = st.builds(
    Verdict,
    id=texts,
    prediction=st.floats(0, 1),
    log_odds=st.none() | numbers,
    path=st.lists(texts, max_size=3).map(tuple),
    certified=st.booleans(),
    versions=st.dictionaries(texts, texts, max_size=3),
    notes=st.lists(texts, max_size=3).map(tuple),
)


def read(data, cut):
    reader, complete = frames.Reader(), []
    for start in range(0, len(data), cut):
        complete += reader.feed(data[start : start + cut])
    return complete


@given(st.lists(requests, min_size=1, max_size=4), st.integers(1, 200))
def test_requests_arrive_as_they_were(asked, cut):
    stream = b"".join(frames.ask(n, request, solo=n == 2) for n, request in enumerate(asked))
    arrived = read(stream, cut)
    assert [frames.asked(header, payload) for header, payload in arrived] == asked
    assert [header.get("solo", False) for header, _ in arrived] == [n == 2 for n in range(len(asked))]


@given(verdicts, st.integers(1, 50))
def test_verdicts_arrive_as_they_were(verdict, cut):
    ((header, _),) = read(frames.pack(frames.outcome(7, verdict)), cut)
    assert header["number"] == 7
    assert frames.result(header) == verdict


@pytest.mark.parametrize("refused", [Shed("late"), BadImage("corrupt"), Unavailable("deadline")])
def test_refusals_keep_their_kind_and_reason(refused):
    ((header, _),) = read(frames.pack(frames.outcome(1, refused)), 1000)
    result = frames.result(header)
    assert type(result) is type(refused)
    assert result.reason == refused.reason


@pytest.mark.parametrize("lengths", [(frames.MOST_HEADER + 1, 0), (2, frames.MOST_PAYLOAD + 1)])
def test_absurd_lengths_are_refused_before_anything_is_kept(lengths):
    with pytest.raises(frames.ProtocolError, match="a frame of"):
        frames.Reader().feed(frames.LENGTHS.pack(*lengths))


@pytest.mark.parametrize("text", [b"{", b"[1]", b"\xff\xfe"])
def test_headers_that_are_not_json_objects_are_refused(text):
    with pytest.raises(frames.ProtocolError, match="a header that is not"):
        frames.Reader().feed(frames.LENGTHS.pack(len(text), 0) + text)


def test_what_json_cannot_say_is_not_sent():
    with pytest.raises(ValueError, match="JSON"):
        frames.pack({"kind": "beat", "value": math.nan})

"""A VLM's JSON beside the boxes, and the sentence that is made of both."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.core import Box
from models.layout import describe
from models.reason import sentence
from models.told import ASK, Told, read, with_words

SEEN = describe([Box(0, "cone", 0.9, 0.4, 0.5, 0.5, 0.9)])
NOTHING = describe([])


def test_the_example_we_ask_for_is_understood():
    assert read(ASK.partition("example:")[2]) == Told({"sign": 1, "cone": 6}, "active")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ('```json\n{"cones": 2}\n```', Told({"cone": 2})),
        ('Sure {here}: {"stage": "ended"} thanks', Told({}, "ended")),
        ('{"cones": -1, "signs": "many", "workers": true, "machines": 2.5, "stage": "soon"}', None),
        ('{"cones": 100000000000, "signs": 1}', Told({"sign": 1})),
        ("[1, 2]", None),
        ("no", None),
        ("{" * 5000, None),
    ],
)
def test_answers_are_read_for_what_is_sound_in_them(answer, told):
    assert read(answer) == told


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_no_answer_breaks_it(answer):
    assert with_words(SEEN, read(answer)).counts["cone"] >= 1


def test_words_fill_gaps_and_boxes_win():
    both = with_words(SEEN, Told({"cone": 4, "worker": 1}, "planned"))
    assert both.counts == {"cone": 4, "worker": 1} and both.stage == "active"
    assert with_words(NOTHING, Told({}, "planned")).stage == "planned"
    assert with_words(SEEN, None) is SEEN


def test_an_end_is_believed_unless_somebody_works_there():
    assert with_words(SEEN, Told({}, "ended")).stage == "ended"
    busy = describe([Box(0, "worker", 0.9, 0.4, 0.5, 0.5, 0.9)])
    assert with_words(busy, Told({}, "ended")).stage == "active"


def test_the_sentence_tells_things_place_and_views():
    assert sentence(SEEN) == "Seen: 1 cone, ahead, near."
    cones = [
        Box(1, "cone", 0.9, 0.7 - 0.15 * n, 0.8 - 0.1 * n, 0.74 - 0.15 * n, 0.95 - 0.12 * n) for n in range(4)
    ]
    many = describe([*cones, Box(3, "sign", 0.8, 0.1, 0.1, 0.2, 0.2)])
    assert sentence(many, views=6) == (
        "Seen: 4 cones and 1 sign, a line of 4 narrows the road from the right, "
        "ahead, near, in views 2 and 4 of 6."
    )
    signs = describe([Box(0, "sign", 0.8, 0.1, 0.1, 0.2, 0.2)] * 2)
    assert sentence(signs) == "Announced: 2 signs."
    assert sentence(NOTHING) == ""


def test_a_scene_across_two_cameras_is_told_as_one():
    seen = describe([Box(0, "barrier", 0.9, 0.5, 0.5, 1, 0.7), Box(1, "barrier", 0.9, 0, 0.5, 0.2, 0.7)])
    assert "in views 1 and 2 of 2, going on from view 1 to 2" in sentence(seen, views=2)

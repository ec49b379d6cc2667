"""The search of a closer look: where it looks, when it stops, and that it never looks more than it may."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.core import Box
from models.zoom.refine import Effort, refine
from models.zoom.reward import FEATURES, LEAST, Look, Reward
from models.zoom.windows import WHOLE, area, around, cut, overlap, parts

UNIT = st.floats(0, 1)
ODDS = st.floats(-30, 30)


def boxes():
    corners = st.tuples(UNIT, UNIT, UNIT, UNIT).map(
        lambda c: (min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3]))
    )
    return st.builds(lambda c, score: Box(0, "cone", score, *c), corners, UNIT)


def inside(window):
    return (
        all(-1e-9 <= edge <= 1 + 1e-9 for edge in window) and window[0] < window[2] and window[1] < window[3]
    )


@given(st.lists(boxes(), max_size=8), st.integers(1, 5))
def test_windows_lie_within_the_view_surest_first_and_differ(found, most):
    windows = around(found, most)
    assert len(windows) <= most and bool(windows) == bool(found)
    assert all(inside(window) for window, _ in windows)
    assert [score for _, score in windows] == sorted((score for _, score in windows), reverse=True)
    pairs = [(a, b) for n, (a, _) in enumerate(windows) for b, _ in windows[:n]]
    assert all(overlap(a, b) <= 0.5 for a, b in pairs)


def test_parts_cover_what_they_are_parts_of():
    five = parts(WHOLE)
    for x, y in np.random.default_rng(0).random((200, 2)):
        assert any(left <= x <= right and top <= y <= bottom for left, top, right, bottom in five)
    assert all(area(each) == pytest.approx(0.36) and inside(each) for each in five)
    assert overlap(WHOLE, WHOLE) == 1 and overlap((0, 0, 0.1, 0.1), (0.2, 0.2, 1, 1)) == 0


def test_cutting_gives_the_windows_pixels_and_never_none():
    image = Image.new("RGB", (10, 20))
    image.putpixel((9, 19), (255, 0, 0))
    corner = cut(image, (0.5, 0.5, 1.0, 1.0))
    assert corner.size == (5, 10) and corner.getpixel((4, 9)) == (255, 0, 0)
    assert cut(Image.new("RGB", (1, 1)), (0.9, 0.9, 1.0, 1.0)).size == (1, 1)


TRUSTS = Reward((0.5, 0.0, 0.0, 0.0, 0.0), -1.0)
"""The stronger a look, the more."""


@given(st.lists(ODDS, min_size=1, max_size=10), st.tuples(*[st.floats(-3, 3)] * len(FEATURES)))
def test_the_best_look_speaks_with_the_chance_that_it_is_right(odds, weights):
    looks, reward = [Look(WHOLE, each) for each in odds], Reward(weights, 0.3)
    best, chance = reward.best(looks)
    assert chance == max(reward.chance(each, looks) for each in looks) and LEAST <= chance <= 1 - LEAST
    said = reward.log_odds(looks)
    assert math.isfinite(said)
    assert abs(said) == pytest.approx(abs(math.log(chance / (1 - chance))), abs=1e-9)
    assert reward.log_odds([Look(WHOLE, best.log_odds)]) is not None


class Sees:
    """Answers by how much of a place a window holds; counts."""

    def __init__(self, place):
        self.place, self.asked = place, []

    def __call__(self, windows):
        self.asked.append(list(windows))
        return [6 * overlap(each, self.place) - 1 for each in windows]


def test_it_goes_on_into_the_part_that_looks_most_like_roadwork():
    place = (0.7, 0.7, 0.95, 0.95)
    sees = Sees(place)
    looks = refine(sees, TRUSTS, Effort(most=15, depth=3, sure=1.0))
    assert [len(each) for each in sees.asked] == [5, 5, 5] and len(looks) == 15
    best = [max(part, key=lambda window: overlap(window, place)) for part in sees.asked]
    assert overlap(best[2], place) > overlap(best[1], place) > overlap(best[0], place)


def test_it_stops_when_a_look_is_trusted_when_time_is_up_and_when_looks_are_used_up():
    certain = refine(Sees((0, 0, 0.6, 0.6)), TRUSTS, Effort(most=15, depth=3, sure=0.7))
    assert len(certain) == 5
    times = iter([0.0, 9.0])
    late = refine(
        Sees(WHOLE), TRUSTS, Effort(most=15, depth=3, sure=1.0, most_ms=1e3), clock=lambda: next(times)
    )
    assert len(late) == 5, "the first round is always taken, no other one begins"
    assert len(refine(Sees(WHOLE), TRUSTS, Effort(most=7, depth=3, sure=1.0))) == 7


@given(st.lists(boxes(), max_size=5), st.integers(1, 12), st.integers(1, 4), st.floats(0.5, 1))
def test_it_never_looks_more_than_it_may(found, most, depth, sure):
    sees = Sees((0.2, 0.2, 0.5, 0.5))
    looks = refine(sees, TRUSTS, Effort(most=most, depth=depth, sure=sure, boxes=2), found)
    assert 1 <= len(looks) <= most and len(sees.asked) <= depth
    assert all(inside(look.window) for look in looks)


def test_where_others_saw_something_it_looks_first():
    seen = Box(0, "cone", 0.8, 0.1, 0.1, 0.15, 0.2)
    looks = refine(Sees((0, 0, 0.3, 0.3)), TRUSTS, Effort(depth=1), [seen])
    (look,) = looks
    assert look.score == 0.8 and look.window[0] <= 0.1 and look.window[2] >= 0.15


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="at least"):
        Effort(most=0)
    with pytest.raises(ValueError, match="finite weight"):
        Reward((1.0,), 0.0)
    with pytest.raises(ValueError, match="finite weight"):
        Reward((math.nan,) * len(FEATURES), 0.0)

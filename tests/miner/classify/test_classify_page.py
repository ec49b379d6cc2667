"""The page's cards: boxes where they were seen, nothing foreign as markup."""

import re
from pathlib import Path

import pytest

from miner.classify.artist import Drawn
from miner.classify.frames import frames
from miner.classify.output import Run
from miner.classify.page import card, closing, opening, ordered
from miner.classify.scenes import Row, Scene
from models.core import Box, Verdict

DRAWN = Drawn("AAAA", "", 800, 400)


def row(*boxes, log_odds=1.0, files=("a.jpg",)):
    said = Verdict(
        "1", 0.7, log_odds=log_odds, path=("t",), versions={"t": "v<1>"}, evidence={"t": 1.0}, boxes=boxes
    )
    return Row(Scene(tuple(map(Path, files))), said)


def test_a_box_is_drawn_where_it_is_with_label_and_score():
    drawn = frames([Box(0, "cone", 0.8, 0.25, 0.5, 0.5, 0.75)], 800, 400)
    assert 'viewBox="0 0 800 400"' in drawn and "cone 0.80" in drawn
    assert 'x="200.0" y="200.0" width="200.0" height="100.0"' in drawn
    assert frames([], 800, 400) == ""


def test_boxes_that_are_not_sure_are_dashed_and_under_the_sure_ones():
    drawn = frames([Box(0, "a", 0.9, 0, 0, 1, 1), Box(0, "b", 0.3, 0, 0, 1, 1)], 10, 10)
    assert re.findall(r"<rect( class=\"faint\")?", drawn) == [' class="faint"', ""]


def test_a_hostile_label_stays_text():
    made = card(row(Box(0, "<script>x</script>\x1b", 0.9, 0, 0, 1, 1)), [DRAWN])
    assert "<script" not in made and "&lt;script&gt;" in made and "\x1b" not in made
    assert "v&lt;1&gt;" in made


def test_each_view_gets_its_own_boxes_and_the_card_says_what_is_seen():
    boxes = (Box(0, "cone", 0.9, 0, 0, 1, 1), Box(2, "sign", 0.9, 0, 0, 1, 1))
    made = card(row(*boxes, files=("a", "b", "c")), [DRAWN] * 3)
    first, second, third = made.split("<figure>")[1:]
    assert "cone 0.90" in first and "<svg" not in second and "sign 0.90" in third
    assert "1 cone and 1 sign" in made and "in views 1 and 3 of 3" in made


def test_a_picture_that_cannot_be_shown_is_said():
    assert "cannot be shown" in card(Row(Scene((Path("a"),)), reason="poison"), [Drawn(error="poison")])


def test_the_limits_of_heat_maps_are_told_only_beside_one():
    assert "Heat:" in closing(heat=True) and "Heat:" not in closing(heat=False)
    assert opening([row()], Run({"t": "1"}, "cpu", 1.0)).count("<main>") == 1


@pytest.mark.parametrize(
    ("order", "expected"),
    [("probability", [3.0, 0.1, -2.0]), ("uncertainty", [0.1, -2.0, 3.0])],
)
def test_the_order_is_what_was_asked(order, expected):
    lost = Row(Scene((Path("z"),)), reason="missing")
    rows = ordered([lost, *(row(log_odds=value) for value in (0.1, -2.0, 3.0))], order)
    assert [each.verdict.log_odds for each in rows[:-1]] == expected and rows[-1] is lost

"""Layouts: counts, tapers, area, views and stages of scenes whose layout is known."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scene_boxes import box_of, line_of

from models.core import Box, Verdict
from models.detector.classes import HINTS as DETECTOR_HINTS
from models.layout import DEVICES, Layout, ViewLayout, describe, kind, notes, of_verdict, progression, stage
from models.scenes.canvas import open_canvas
from models.scenes.stencil import LABELS
from models.scenes.street import lay_out
from models.scenes.works import cone, drum, put_up_works
from models.taper import LINE, Taper, taper

SEEDS = range(60)


@pytest.mark.parametrize("maker", [cone, drum])
def test_a_strong_taper_is_found_on_its_side_and_never_on_the_other(maker):
    found = []
    for seed in SEEDS:
        side = 1 if seed % 2 else -1
        boxes = line_of(maker, seed, 0.7, side)
        if len(boxes) >= LINE:
            said = taper(boxes)
            found.append(said is not None)
            assert said is None or said.side == ("right" if side > 0 else "left"), seed
    assert len(found) > 50 and np.mean(found) > 0.9


def test_a_line_along_the_road_is_seldom_taken_for_a_taper():
    lines = [line_of(drum, seed, 0.0, 1 if seed % 2 else -1) for seed in SEEDS]
    lines = [line for line in lines if len(line) >= LINE]
    assert len(lines) > 40 and np.mean([taper(line) is not None for line in lines]) < 0.05


def mirrored(box):
    return replace(box, x0=1 - box.x1, x1=1 - box.x0)


def test_the_mirror_image_of_a_taper_closes_the_other_side():
    for seed in SEEDS:
        boxes = line_of(cone, seed, 0.8, 1)
        one, other = taper(boxes), taper(list(map(mirrored, boxes)))
        assert (one is None) == (other is None)
        assert one is None or {one.side, other.side} == {"left", "right"}


@pytest.mark.parametrize("count", range(LINE))
def test_a_few_devices_are_no_line(count):
    assert (
        taper([Box(0, "cone", 0.9, 0.1 * n, 0.5, 0.1 * n + 0.05, 0.6 + 0.05 * n) for n in range(count)])
        is None
    )


def test_devices_at_one_height_are_no_taper():
    assert taper([Box(0, "cone", 0.9, 0.1 * n, 0.5, 0.1 * n + 0.05, 0.6) for n in range(6)]) is None


@pytest.mark.parametrize("seed", range(20))
def test_what_is_put_up_is_counted(seed):
    rng = np.random.default_rng(seed)
    canvas, street = open_canvas(960, 540, rng), lay_out(rng)
    boxes = [box for item in put_up_works(street, rng) if (box := box_of(canvas, item))]
    seen = describe(boxes)
    for name in LABELS:
        assert seen.counts.get(name, 0) == sum(box.label == name for box in boxes)
    assert seen.stage == (
        "active" if any(box.label != "sign" for box in boxes) else "planned" if boxes else "none"
    )
    for view in seen.views:
        for box in boxes:
            if view.area is not None and box.label != "sign":
                assert view.area.x0 <= box.x0 <= box.x1 <= view.area.x1
                assert view.area.y0 <= box.y0 <= box.y1 <= view.area.y1


SIDES = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted)
BOXES = st.builds(
    lambda view, label, score, across, down: Box(view, label, score, across[0], down[0], across[1], down[1]),
    st.integers(0, 5),
    st.sampled_from([*LABELS, "traffic cone", "car", "ROAD WORK SIGN", ""]) | st.text(max_size=5),
    st.floats(0, 1),
    SIDES,
    SIDES,
)


@given(st.lists(BOXES, max_size=30), st.randoms(use_true_random=False))
def test_any_boxes_make_a_layout_that_does_not_depend_on_their_order(boxes, random):
    seen = describe(boxes)
    shuffled = list(boxes)
    random.shuffle(shuffled)
    assert describe(shuffled) == seen
    assert [view.view for view in seen.views] == sorted({view.view for view in seen.views})
    assert (seen.stage == "none") == (not seen.counts)


@given(st.lists(BOXES, max_size=10))
def test_faint_boxes_are_not_spoken_of(boxes):
    assert describe([replace(box, score=box.score * 0.49) for box in boxes]) == describe([])


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        *((label, label) for label in LABELS),
        ("Traffic Cone", "cone"),
        ("road work sign", "sign"),
        ("construction worker", "worker"),
        ("construction barrel", "drum"),
        ("car", None),
        ("", None),
    ],
)
def test_labels_are_understood(label, expected):
    assert kind(label) == expected


def test_every_class_that_a_detector_watches_by_itself_has_a_kind():
    assert [hint for hint in DETECTOR_HINTS if kind(hint) is None] == ["taper", "ttc"]


def test_works_that_go_on_in_the_next_camera_are_joined():
    left = Box(1, "barrier", 0.9, 0.5, 0.5, 1.0, 0.8)
    right = Box(2, "barrier", 0.9, 0.0, 0.5, 0.3, 0.8)
    assert describe([left, right]).joined == ((1, 2),)
    assert describe([left, replace(right, view=3)]).joined == ()
    assert describe([left, replace(right, x0=0.2)]).joined == ()


@pytest.mark.parametrize(
    ("counts", "expected"),
    [({}, "none"), ({"sign": 2}, "planned"), ({"sign": 1, "worker": 1}, "active"), ({"cone": 1}, "active")],
)
def test_the_stage_of_one_moment(counts, expected):
    assert stage(counts) == expected


def moment(*labels):
    return describe([Box(0, label, 0.9, 0.1, 0.1, 0.2, 0.2) for label in labels])


def test_works_are_announced_begin_end_and_begin_again():
    moments = [moment(), moment("sign"), moment("sign", "cone"), moment("sign"), moment(), moment("worker")]
    stages = progression([each.stage for each in moments])
    assert stages == ["none", "planned", "active", "ended", "ended", "active"]


@given(st.lists(st.lists(st.sampled_from([*DEVICES, "sign"]), max_size=3), max_size=8))
def test_nothing_ends_that_has_not_begun(days):
    stages = progression([moment(*labels).stage for labels in days])
    assert len(stages) == len(days)
    assert "ended" not in stages or stages.index("ended") > stages.index("active")


def test_the_area_says_where():
    area = describe([Box(0, "cone", 0.9, 0.8, 0.7, 0.9, 0.95)]).views[0].area
    assert (area.where, area.how_far) == ("on the right", "near")


def test_a_verdicts_notes_say_stage_and_side_and_nothing_of_an_empty_street():
    line = ViewLayout(0, {"cone": 5}, Taper(5, "right"))
    assert notes(Layout((line,), stage="active", counts=line.counts)) == ("stage:active", "taper:right")
    assert notes(moment("sign")) == ("stage:planned",) and notes(moment("car")) == ()


def test_a_verdict_keeps_its_probability():
    verdict = Verdict("a", 0.3, log_odds=-0.8, boxes=(Box(0, "cone", 0.99, 0.1, 0.1, 0.2, 0.2),))
    before = verdict.to_json()
    assert of_verdict(verdict).counts == {"cone": 1} and verdict.to_json() == before

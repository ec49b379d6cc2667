"""Scenes of one place in order of time: announced, active, ended; in words, in JSON and on the page."""

from __future__ import annotations

import json
from pathlib import Path

from miner.classify.output import Run, json_text
from miner.classify.page import card
from miner.classify.scenes import Row, Scene, in_series
from models.core import Box, Verdict

RUN = Run({"a": "1"}, "cpu", 1.0)


def row(name, *labels):
    boxes = tuple(Box(0, label, 0.9, 0.1, 0.1, 0.2, 0.2) for label in labels)
    return Row(Scene((Path(name),)), Verdict(name, 0.4, log_odds=-0.4, boxes=boxes))


ROWS = [row("1", "sign"), row("2", "cone"), Row(Scene((Path("3"),)), reason="corrupt"), row("4")]


def test_what_was_judged_gets_its_stage_and_the_rest_none():
    assert [each.stage for each in in_series(ROWS)] == ["planned", "active", None, "ended"]


def test_json_holds_the_layout_and_with_a_series_the_stage():
    plain, series = (json.loads(json_text(rows, RUN))["results"] for rows in (ROWS, in_series(ROWS)))
    assert [each.get("stage") for each in plain] == [None] * 4
    assert [each.get("stage") for each in series] == ["planned", "active", None, "ended"]
    assert plain[1]["layout"]["counts"] == {"cone": 1} and plain[1]["layout"]["stage"] == "active"
    assert plain[3]["layout"] == {"stage": "none", "counts": {}, "taper": None, "views": [], "joined": []}
    assert "layout" not in plain[2]


def test_the_page_says_it():
    first, *_, last = in_series(ROWS)
    assert "Over time: ended." in card(last, []) and "Over time: planned." in card(first, [])
    assert "Over time" not in card(ROWS[0], [])

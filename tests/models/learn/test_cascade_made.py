"""The cascade's files: chosen on what members said, loadable, and honest about what is not certified."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.cascade import PLAIN
from models.certify import Member, OperatingPoint
from models.core import Box, Evidence
from models.description import decide as how
from models.description import read as read_description
from models.fusion import registry
from models.fusion.rows import Rows
from models.learn.cascade.__main__ import compare, write
from models.learn.cascade.card import render
from models.learn.cascade.decide import attempt, fuse, sentence
from models.learn.cascade.figures import by_class, difference, figures, format_figures
from models.learn.cascade.margins import leave, widest
from models.learn.cascade.whole import decide
from models.learn.contestant import cascade
from models.learn.data import read
from models.learn.evaluate import SEED, evaluate
from models.learn.judge import Answers, ask
from models.learn.shapes import dealt
from models.learn.traces import Heard
from models.members import load
from models.scenes import write_scenes
from models.weights import DEFAULT

NAMES = ("classifier", "regions", "small_vlm")
COSTS = (10.0, 30.0, 20.0)


def heard_of(groups=40, per=6):
    rng = np.random.default_rng(3)
    count = groups * per
    roadwork = np.repeat(np.arange(groups) % 2 == 0, per)
    truth = np.where(roadwork, 1.0, -1.0)
    said = np.column_stack([2 * truth + rng.normal(0, spread, count) for spread in (3.0, 2.0, 1.5)])
    rows = Rows(NAMES, said, roadwork, np.repeat([f"g{n}" for n in range(groups)], per))
    regimes = np.array(["native", "augmented"] * (count // 2))
    return Heard(rows, np.full(count, "s"), regimes, np.tile(COSTS, (count, 1)), ("1", "2", "3"))


@pytest.fixture(scope="module")
def heard():
    return heard_of()


@pytest.fixture(scope="module")
def fusions(heard):
    return fuse(heard.rows, ("logistic", "sum"), seed=0, say=lambda text: None)


def point(fusions):
    members = tuple(Member(name, version) for name, version in zip(NAMES, "123", strict=True))
    return OperatingPoint("embedded", members, fusions.choice.fitted.digest)


def test_out_of_fold_prefixes_improve_with_everybody_and_the_rival_is_calibrated(heard, fusions):
    said = fusions.prefixes
    assert said.shape == (len(heard), 3)
    right = [((said[:, count] > 0) == heard.rows.roadwork).mean() for count in range(3)]
    assert right[0] < right[1] < right[2]
    assert fusions.fitted.keys() == {"logistic", "sum"}
    chances = 1 / (1 + np.exp(-fusions.fitted["sum"].log_odds(heard.rows)))
    assert abs(chances.mean() - 0.5) < 0.05


def test_too_few_sequences_certify_nothing_and_say_how_many_it_takes(heard, fusions):
    found = attempt(point(fusions), fusions.prefixes, heard.rows, COSTS)
    assert found.never
    text = sentence(found, heard.rows)
    assert "20 labelled sequences of 'none' and 20 of 'roadwork'" in text and "59 of each" in text


def test_networks_that_are_not_served_certify_no_exit_however_many_sequences():
    many = heard_of(groups=2000, per=1)
    sure = np.column_stack([np.where(many.rows.roadwork, 9.0, -9.0)] * 3)
    found = attempt(OperatingPoint("x", tuple(Member(name, "1") for name in NAMES)), sure, many.rows, COSTS)
    assert found.sides[0].p_value < 0.05
    assert found.never


def test_the_folder_is_what_serves(heard, fusions, tmp_path):
    certificate = attempt(point(fusions), fusions.prefixes, heard.rows, COSTS)
    write(tmp_path, fusions, certificate, NAMES)
    described = read_description(tmp_path)
    assert [tier["kind"] for tier in described.tiers] == list(NAMES)
    plan, why = how(described, list(zip(NAMES, "123", strict=True)))
    said = heard.evidence(0)
    assert plan.fuse(said) == fusions.choice.fitted.fuse(said)
    assert why.startswith("not certified: 10 labelled sequences")
    assert registry.load(tmp_path / "rivals" / "sum.json").kind == "sum"


def test_members_of_servers_are_not_measured_here():
    with pytest.raises(ValueError, match="no member that runs here is called 'vlm'"):
        load({"kind": "vlm"}, "cpu")


def test_figures_rise_with_what_is_better_and_cost_weighs_both_labels_alike(heard, fusions):
    lines = {each.name: each for each in compare(heard, fusions)}
    assert lines["classifier"].mcc < lines["small_vlm"].mcc < lines["logistic, all members"].mcc
    for each in lines.values():
        assert each.mcc_95[0] <= each.mcc <= each.mcc_95[1] and each.reward_95[0] <= each.reward
    assert "| classifier |" in format_figures(list(lines.values()))
    assert by_class(np.array([1.0, 1.0, 1.0, 5.0]), np.array([True, True, True, False])) == 3.0


def test_a_difference_to_itself_is_nothing(heard):
    own = heard.answers(heard.rows.log_odds[:, 0])
    assert difference(own, own, draws=50) == (0.0, (0.0, 0.0))
    better = heard.answers(heard.rows.log_odds[:, 2])
    gap, interval = difference(better, own, draws=200)
    assert gap > 0 and interval[0] > 0


def test_one_label_alone_has_no_figure_but_does_not_break():
    alone = Answers(np.ones(4), np.ones(4, bool), *(np.array(["a"] * 4),) * 3)
    assert figures("x", alone, draws=5).to_json()["mcc"] is None


@given(st.floats(10, 60), st.floats(0, 5))
def test_a_wider_band_asks_more_and_the_widest_keeps_to_its_budget(budget, band):
    prefixes = np.cumsum(np.random.default_rng(1).normal(0, 2, (60, 3)), axis=1)
    roadwork = np.arange(60) % 2 == 0
    found = widest(prefixes, roadwork, COSTS, budget)
    assert by_class(leave(prefixes, found).cost_ms(np.array(COSTS)), roadwork) <= budget + 1e-9
    assert (leave(prefixes, band).last <= leave(prefixes, band + 1).last).all()
    everybody = leave(prefixes, np.inf)
    assert everybody.asked(3).all() and np.array_equal(everybody.scores, prefixes[:, -1])


def test_the_card_says_what_the_record_says(heard, fusions):
    record = {
        "members": list(NAMES),
        "rows": 3,
        "sequences": 2,
        "fusion": {"kind": "logistic", "why": fusions.choice.sentence()},
        "out_of_fold": [each.to_json() for each in compare(heard, fusions)],
        "cost_ms": dict(zip(NAMES, COSTS, strict=True)),
        "margin": {
            "band": 1.5,
            "budget_ms": 20.0,
            "cost_ms": 19.0,
            "mcc_over_all": -0.01,
            "mcc_over_all_95": [-0.03, 0.01],
        },
        "deferral": [{"kind": "trees", "cost_ms": 19.0, "over_band": -0.01, "over_band_95": [-0.03, 0.01]}],
        "certificate": "not certified: too few",
        "command": "make it",
        "wall_minutes": 1.0,
        "versions": ["classifier 1"],
    }
    card = render(record)
    assert "classifier -> regions -> small_vlm" in card and "Not certified: too few." in card
    assert "1.50, at 19.0 of 60.0 ms" in card and "-0.010 [-0.030 +0.010]" in card
    assert "none beats it beyond the interval" in card and "| trees | 19.0 | -0.010 [-0.030 +0.010] |" in card


class Says:
    def __init__(self, name, log_odds, boxes=(), guided=False):
        self.name, self.version, self.guided = name, "1", guided
        self._said, self._boxes = log_odds, boxes

    def prepare(self, image, boxes=()):
        return len(boxes)

    def evidence(self, batch):
        if self._said is None:
            raise ArithmeticError("not finite")
        return [Evidence(self.name, self.version, self._said + count, boxes=self._boxes) for count in batch]


def test_deciding_hands_boxes_on_and_survives_a_member_that_fails():
    box = Box(0, "works", 0.9, 0, 0, 1, 1)
    tiers = {
        each.name: each for each in (Says("a", 1.0, (box, box)), Says("b", None), Says("c", 0.5, guided=True))
    }
    found = decide(tiers, PLAIN, Image.new("RGB", (8, 8)))
    assert found.path == ("a", "c") and found.evidence == {"a": 1.0, "c": 2.5}
    assert "failed:b" in found.notes


def test_a_whole_cascade_is_evaluated_like_a_checkpoint(tmp_path):
    scenes, folder = tmp_path / "scenes", tmp_path / "cascade"
    write_scenes(scenes, 4, seed=9)
    folder.mkdir()
    content = {"name": "x", "tiers": [{"kind": "classifier"}], "fusion": None}
    (folder / "cascade.json").write_text(json.dumps(content), encoding="utf-8")
    paths = Counter()
    examples = read(scenes)
    asked = cascade(folder, note=lambda verdict: paths.update(verdict.path))
    answers = ask(asked.judge, examples, shapes=dealt(examples, SEED))
    _, alone = evaluate(DEFAULT, examples)
    assert paths == {"classifier": len(answers.scores)}
    assert np.allclose(answers.scores, alone.scores, atol=1e-3)

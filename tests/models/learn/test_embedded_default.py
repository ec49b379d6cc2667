"""The weights in the repository: there, small, described, and better than chance."""

import json
from pathlib import Path

import pytest
import torch

from models.classifier import load_classifier
from models.learn.card import render
from models.learn.contestant import served
from models.learn.data import read
from models.learn.judge import ONCE, ask
from models.learn.metrics import report
from models.learn.regimes import REGIMES
from models.scenes import write_scenes
from models.weights import DEFAULT

SHARED = Path(__file__).parents[4] / "shared" / "data"


@pytest.fixture(scope="module")
def judge():
    torch.set_num_threads(1)
    return served(load_classifier(DEFAULT))


def test_folder_is_complete_and_small():
    names = {path.name for path in DEFAULT.iterdir()}
    assert names == {
        "README.md",
        "calibration.json",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "training.json",
    }
    assert sum(path.stat().st_size for path in DEFAULT.iterdir()) < 5_200_000


def test_card_has_the_figures_of_the_record_and_names_every_source():
    record = json.loads((DEFAULT / "training.json").read_text(encoding="utf-8"))
    card = (DEFAULT / "README.md").read_text(encoding="utf-8")
    assert card == render(record)
    assert len(record["seeds"]) >= 3
    for needed in (*record["sources"], "ODC-By 1.0", "arXiv 2406.07661", "CC BY 4.0", "highest"):
        assert needed in card


def test_a_card_of_other_pictures_says_nothing_of_ours():
    record = json.loads((DEFAULT / "training.json").read_text(encoding="utf-8"))
    card = render(record | {"sources": {"mine": [9, 9, 3, 3]}})
    assert "No attribution on record" in card and "Limits" in card
    for of_ours in ("3 clips", "without owais", "default model", "4-6 %", "Two sources"):
        assert of_ours not in card


def test_calibration_is_the_recorded_one():
    record = json.loads((DEFAULT / "training.json").read_text(encoding="utf-8"))
    assert json.loads((DEFAULT / "calibration.json").read_text(encoding="utf-8")) == record["calibration"]


def test_sees_works_in_scenes_it_was_not_trained_on(judge, tmp_path):
    write_scenes(tmp_path, 40, seed=0)
    answers = ask(judge, read(tmp_path), ONCE)
    native = answers.pick(answers.regimes == "native")
    assert report(answers.scores, answers.roadwork).auc > 0.8
    assert report(native.scores, native.roadwork).mcc > 0.5


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the real images in ../shared/data, which are absent")
def test_real_images_come_out_as_the_record_says(judge):
    """A tenth of the validation split, one draw each: far from the record means another model or pipeline."""
    record = json.loads((DEFAULT / "training.json").read_text(encoding="utf-8"))
    said = {line["regime"]: line for line in record["seeds"][0]["val"] if line["source"] == "all"}
    examples = read(SHARED, "val")[::4]
    answers = ask(judge, examples, ONCE)
    for regime in REGIMES:
        part = answers.pick(answers.regimes == regime)
        assert abs(report(part.scores, part.roadwork).auc - said[regime]["auc"]) < 0.15

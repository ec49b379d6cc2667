"""`train --into`: what was trained becomes a version with its figures, or a sentence says why not."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from miner import train
from miner.registry import Refused, Registry

LINE = {"source": "all", "regime": "all", "mcc": 0.8, "auc": 0.9, "tpr": 0.9, "tnr": 0.9}
RECORD = {
    "calibration": {"temperature": 1.2, "threshold": 0.4},
    "seeds": [{"seed": 0, "val": [LINE]}],
    "cross_fit": {"out_of_fold": [{**LINE, "mcc": 0.7}]},
}


def trained(folder, record=RECORD):
    folder.mkdir(parents=True)
    save_file({"w": np.ones(3, np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    (folder / "training.json").write_text(json.dumps(record))
    return folder


def test_what_was_trained_becomes_a_version_with_its_figures(tmp_path):
    models = tmp_path / "models"
    name = train.enter(trained(tmp_path / "out"), models, "classifier", "MIT")
    (version,) = Registry(models).versions("classifier")
    assert version.name == name
    facts = version.manifest.facts
    assert facts.source == "train" and facts.metrics == {"mcc": 0.8, "auc": 0.9, "tpr": 0.9, "tnr": 0.9}
    assert facts.calibration == RECORD["calibration"] and facts.licence == "MIT"
    assert Registry(models).pointers("classifier").champion is None, "nothing is promoted"


def test_without_a_validation_split_the_figures_are_those_out_of_fold(tmp_path):
    folder = trained(tmp_path / "out", {**RECORD, "seeds": [{"seed": 0, "val": []}]})
    assert train.facts(folder)["metrics"]["mcc"] == 0.7


@pytest.mark.parametrize("content", ["{", "{}", '{"seeds": []}'])
def test_a_folder_without_a_record_is_refused(tmp_path, content):
    folder = trained(tmp_path / "out")
    (folder / "training.json").write_text(content)
    with pytest.raises(Refused, match="no record of a training"):
        train.facts(folder)


def test_the_training_runs_with_its_own_flags_and_a_failure_is_passed_on(tmp_path, monkeypatch, capsys):
    asked = []

    class Done:
        returncode = 3

    def run(command, check):
        asked.append(command)
        return Done()

    monkeypatch.setattr(train.subprocess, "run", run)
    into = tmp_path / "data" / "models"
    assert train.main(["--recipe", "lora", "--data", "D", "--into", str(into)]) == 3
    out = str(tmp_path / "data" / "training")
    assert asked == [
        [sys.executable, "-m", "models.learn.tune", "--recipe", "lora", "--data", "D", "--out", out]
    ]
    Done.returncode = 0
    trained(tmp_path / "data" / "training")
    assert train.main(["--data", "D", "--into", str(into)]) == 0
    assert asked[1][2] == "models.learn.train"
    assert "classifier" in capsys.readouterr().out and not (tmp_path / "data" / "training").exists()


def test_without_into_it_becomes_the_training(monkeypatch):
    class Became(Exception):
        pass

    def execv(path, command):
        raise Became(command[1:])

    monkeypatch.setattr(train.os, "execv", execv)
    with pytest.raises(Became) as became:
        train.main(["--recipe=full", "--data", "D", "--out", "O"])
    assert became.value.args[0] == ["-m", "models.learn.tune", "--recipe=full", "--data", "D", "--out", "O"]

"""Evaluations resume to the same answers, compare pair by pair, and show their worst cases."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import binomtest

from models.learn import evaluate
from models.learn.contestant import Contestant
from models.learn.data import read
from models.learn.judge import ONCE, Answers, ask, tabulate
from models.learn.kept import Kept, KeptError, key_of
from models.learn.paired import compare, mcnemar
from models.learn.sheet import by_threshold, page, reliability, worst


@pytest.fixture
def folder(tmp_path):
    for number in range(6):
        label = "roadwork" if number % 2 else "none"
        (tmp_path / "data" / label).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (40 * number, 99, 10)).save(tmp_path / "data" / label / f"{number}.jpg")
    return tmp_path / "data"


def by_red(images):
    return np.array([np.asarray(image)[..., 0].mean() / 50 - 2 for image in images])


class Interrupted(Exception):
    pass


def test_an_interrupted_evaluation_goes_on_to_the_same_answers(folder, tmp_path):
    examples = read(folder)
    whole = ask(by_red, examples, ONCE)
    key, asked = key_of("red", examples, 0), []

    def breaks(images):
        if len(asked) == 3:
            raise Interrupted
        asked.append(1)
        return by_red(images)

    kept = tmp_path / "kept"
    with pytest.raises(Interrupted):
        ask(breaks, examples, ONCE, kept=Kept(kept, key, 3))
    with kept.open("a") as file:
        file.write("0x1.8p+1\n0x1.")  # the crash came in the middle of a group
    rest = []

    def counts(images):
        rest.append(len(images))
        return by_red(images)

    again = ask(counts, examples, ONCE, kept=Kept(kept, key, 3))
    assert np.array_equal(again.scores, whole.scores) and rest == [3, 3, 3]
    assert Kept(kept, key, 3).scores() == whole.scores.tolist()


def test_answers_of_another_evaluation_are_not_taken_for_these(folder, tmp_path):
    examples = read(folder)
    Kept(tmp_path / "kept", key_of("red", examples, 0), 3)
    for other in (key_of("blue", examples, 0), key_of("red", examples, 1), key_of("red", examples[1:], 0)):
        with pytest.raises(KeptError, match="another"):
            Kept(tmp_path / "kept", other, 3)


def test_progress_is_told(folder):
    said = []
    ask(by_red, read(folder), ONCE, told=lambda done, all: said.append((done, all)))
    assert said == [(n, 6) for n in range(1, 7)]


@given(won=st.integers(0, 60), lost=st.integers(0, 60))
def test_mcnemar_agrees_with_the_binomial_test(won, lost):
    expected = binomtest(won, won + lost).pvalue if won + lost else 1.0
    assert math.isclose(mcnemar(won, lost), expected, rel_tol=1e-9)


def answers(scores, roadwork, sequences=None):
    count = len(scores)
    return Answers(
        np.array(scores, float),
        np.array(roadwork, bool),
        np.array(["s"] * count),
        np.array(sequences or [str(n // 5) for n in range(count)]),
        np.array(["native"] * count),
    )


def test_a_better_model_is_said_to_be_better_and_an_equal_one_is_not():
    rng = np.random.default_rng(0)
    truth = rng.random(400) < 0.5
    weak = np.where(rng.random(400) < 0.7, 1, -1) * np.where(truth, 1, -1)
    strong = np.where(rng.random(400) < 0.95, 1, -1) * np.where(truth, 1, -1)
    found = compare(answers(weak, truth), answers(strong, truth), draws=200)
    assert found.mcc_95[0] > 0 and found.p_value < 1e-6 and found.e_value > 20
    assert "is better" in found.sentence()
    same = compare(answers(weak, truth), answers(weak, truth), draws=200)
    assert same.mcc == 0 and same.p_value == 1 and same.e_value == 1 and "no different" in same.sentence()


def test_different_challenges_cannot_be_compared():
    with pytest.raises(ValueError, match="same challenges"):
        compare(answers([1, -1], [1, 0]), answers([1, -1], [0, 1]))


def test_a_calibrated_model_lies_on_the_diagonal():
    rng = np.random.default_rng(1)
    chances = rng.uniform(0.02, 0.98, 20_000)
    truth = rng.random(20_000) < chances
    points = reliability(answers(np.log(chances / (1 - chances)), truth))
    assert len(points) == 10 and all(abs(mean - share) < 0.05 for mean, share, _ in points)
    assert math.isclose(sum(weight for *_, weight in points), 1.0)


def test_the_best_threshold_shows_in_the_curve():
    truth = np.arange(100) >= 50
    chances = np.where(truth, 0.9, 0.7)
    curve = dict(by_threshold(answers(np.log(chances / (1 - chances)), truth)))
    assert max(curve, key=curve.get) == pytest.approx(0.8, abs=0.11) and max(curve.values()) == 1.0


def test_the_worst_case_comes_first_and_each_image_once():
    scores = [3.0, -2.0, 5.0, 1.0, -4.0, -1.0]
    found = worst(answers(scores, [False, False, False, True, True, True]), examples=3)
    assert found == [(2, 1), (4, 2), (0, 0)]


def test_the_page_holds_everything_and_asks_for_nothing(folder):
    examples = read(folder)
    found = ask(by_red, examples, ONCE)
    text = page("red <model>", tabulate(found, draws=20), found, examples)
    assert "red &lt;model&gt;" in text and "Calibration" in text and text.count("<figure>") >= 1
    assert re.findall(r"(?:src|href)='(?!data:)", text) == []


def test_the_command_writes_page_and_figures_and_resumes(folder, tmp_path):
    command = [sys.executable, "-m", "models.learn.evaluate", "--data", str(folder)]
    files = {name: tmp_path / name for name in ("kept", "out.html", "out.json")}
    flags = ["--resume", files["kept"], "--html", files["out.html"], "--json", files["out.json"]]
    run = subprocess.run([*command, *map(str, flags)], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("| source |") and files["out.html"].read_text().startswith("<!doctype html>")
    found = json.loads(files["out.json"].read_text())
    assert found["lines"][0]["count"] == 36 and found["shortcuts"] is None
    assert len(files["kept"].read_text().splitlines()) == 37


def test_a_set_without_a_training_split_is_evaluated_beside_a_cascade(folder, tmp_path, monkeypatch, capsys):
    rows = [f"{each.label}/{each.path.name},{each.label},val" for each in read(folder)]
    (folder / "manifest.csv").write_text("\n".join(["file,label,split", *rows]))
    (tmp_path / "rival").mkdir()
    (tmp_path / "rival" / "cascade.json").write_text("{}")
    monkeypatch.setattr(evaluate, "checkpoint", lambda *_, **__: Contestant(by_red, "red"))
    monkeypatch.setattr(evaluate, "cascade", lambda *_, **__: Contestant(lambda seen: -by_red(seen), "blue"))
    flags = ["--data", folder, "--against", tmp_path / "rival", "--resume", tmp_path / "kept"]
    monkeypatch.setattr(sys, "argv", ["x", *map(str, flags), "--json", str(tmp_path / "new" / "out.json")])
    assert evaluate.main() == 0
    said = capsys.readouterr().out
    assert "| all | all | 36 |" in said
    assert f"Against {tmp_path / 'rival'}: The second model is" in said and "of 36 challenges" in said
    found = json.loads((tmp_path / "new" / "out.json").read_text())
    assert found["shortcuts"] is None and found["against"]["challenges"] == 36
    assert (tmp_path / "kept.against").is_file(), "the rival's answers are kept too"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--data", "nowhere"], "no labelled images"),
        (["--data", "data", "--split", "val"], "splits: none"),
        (["--data", "data", "--model", "nowhere"], "no such folder"),
        (["--data", "data", "--resume", "data/none/0.jpg"], "0.jpg"),
    ],
)
def test_what_cannot_be_evaluated_is_said_in_a_sentence(folder, monkeypatch, capsys, flags, said):
    monkeypatch.chdir(folder.parent)
    monkeypatch.setattr(sys, "argv", ["x", *flags])
    assert evaluate.main() == 1
    told = capsys.readouterr().err
    assert told.startswith("not evaluated: ") and said in told


def test_one_label_alone_is_not_compared_by_mcc():
    found = compare(answers([1, -1], [1, 1]), answers([1, 1], [1, 1]))
    assert found.won == 1 and "there is one label only" in found.sentence()
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["mcc"] is None

"""`classify` from end to end with the cascade that ships, on streets drawn here."""

import csv
import json
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from miner.classify.command import main
from models.core import Verdict
from models.scenes import write_scenes

HOSTILE = "<img src=x onerror=alert(1)>.jpg"
pytestmark = pytest.mark.timeout(300)
FAST = ("--engine.mode", "thread", "--neuron.image_detector_device", "cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run over a folder of good and bad pictures and a scene of two views, with every output."""
    folder = tmp_path_factory.mktemp("classify")
    pictures = folder / "pictures"
    scenes = write_scenes(pictures, 4, seed=5)
    scenes[0].rename(pictures / HOSTILE)
    (pictures / "cut.jpg").write_bytes(scenes[1].read_bytes()[:300])
    (pictures / "text.png").write_text("no picture")
    (pictures / ".hidden.jpg").write_text("not looked at")
    files = {name: folder / f"out.{name}" for name in ("csv", "json", "html")}
    views = [str(scenes[2]), str(scenes[3])]
    outputs = [*("--csv", str(files["csv"]), "--json", str(files["json"]), "--explain", str(files["html"]))]
    command = [sys.executable, "-m", "miner", "classify", *FAST, "--heat", "1", str(pictures), *outputs]
    done = subprocess.run(
        [*command, "--views", *views], capture_output=True, text=True, timeout=280, check=False
    )
    texts = {name: file.read_text() for name, file in files.items()}
    return SimpleNamespace(done=done, scenes=scenes, pictures=pictures, **texts)


def test_some_could_not_be_judged_and_the_table_says_which_and_why(run):
    assert run.done.returncode == 1, run.done.stderr
    for words in ("not a JPEG, PNG or WebP", "5 judged", "Verdict", "images/s"):
        assert words in " ".join(run.done.stdout.split()), words
    assert "Traceback" not in run.done.stderr


def test_the_csv_has_a_line_per_scene_in_the_order_asked(run):
    rows = list(csv.DictReader(run.csv.splitlines()))
    assert list(rows[0])[:2] == ["file", "prediction"]
    names = [row["file"] for row in rows]
    assert len(names) == 7 and names[-1] == f"{run.scenes[2]};{run.scenes[3]}"
    judged = [row for row in rows if row["prediction"]]
    assert len(judged) == 5 and all(0 <= float(row["prediction"]) <= 1 for row in judged)
    notes = {row["file"].rpartition("/")[2]: row["notes"] for row in rows}
    assert notes["text.png"] == "error:format" and notes["cut.jpg"].startswith("error:")


def test_the_json_holds_whole_verdicts(run):
    told = json.loads(run.json)
    assert told["versions"] and told["device"] == "cpu" and told["seconds"] > 0
    judged = [each for each in told["results"] if "error" not in each]
    for each in judged:
        verdict = Verdict.from_json({name: each[name] for name in Verdict("", 0.0).to_json()})
        assert set(verdict.path) == set(verdict.versions) == set(verdict.evidence)
        assert {"decode", "total", *verdict.path} <= set(verdict.ms)
        assert each["roadwork"] is (verdict.prediction > 0.5)
    assert {each["error"] for each in told["results"] if "error" in each} >= {"format"}
    assert len(judged[-1]["files"]) == 2


def test_the_page_shows_every_scene_and_runs_nothing(run):
    assert run.html.count("<article>") == 7 and run.html.rstrip().endswith("</html>")
    assert "<script" not in run.html and "<img src=x" not in run.html and "&lt;img src=x" in run.html
    sources = re.findall(r'src="([^"]*)"', run.html)
    assert sources and all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert run.html.count("what the answer depends on</figcaption>") == 1 and "Heat:" in run.html
    assert run.html.count("not judged") >= 2 and "view 2," in run.html


def test_a_model_that_is_not_there_is_one_line_and_status_2(tmp_path, capsys):
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / "model").mkdir()
    assert main([*FAST, "--model.path", str(tmp_path / "model"), str(tmp_path / "a.jpg")]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("streetvision-miner: no model can judge")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "at least one picture"),
        (["a.jpg", "--csv", "-", "--json", "-"], "only one"),
        (["a.jpg", "--csv", "/nowhere/at/all.csv"], "cannot be written"),
        (["a.jpg", "--heat", "-1"], "below 0"),
        (["a.jpg", "--sort", "colour"], "colour"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_loaded(argv, words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2 and words in capsys.readouterr().err

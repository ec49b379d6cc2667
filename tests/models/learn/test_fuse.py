import subprocess
import sys

import numpy as np
import pytest

from models.core import Evidence
from models.fusion.registry import load
from models.fusion.rows import Rows
from models.fusion.table import load_rows, save_rows
from models.learn.fuse import main


def rows(count=120):
    rng = np.random.default_rng(0)
    roadwork = np.arange(count) % 4 < 2
    log_odds = np.where(roadwork, 1.0, -1.0)[:, None] + rng.normal(0, 1.5, (count, 2))
    log_odds[5, 1] = np.nan
    features = rng.random((count, 1))
    groups = (np.arange(count) // 2).astype(str)
    return Rows(("fast", "dear"), log_odds, roadwork, groups, {"dear": features}, {"dear": ("mass",)})


@pytest.fixture
def traces(tmp_path):
    save_rows(rows(), tmp_path / "traces.npz")
    return tmp_path / "traces.npz"


def test_traces_come_back_as_they_were(traces):
    before, after = rows(), load_rows(traces)
    assert after.members == before.members and after.names == before.names and after.views is None
    for name in ("log_odds", "roadwork", "groups"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    np.testing.assert_array_equal(after.features["dear"], before.features["dear"])


def test_it_compares_and_writes_what_serves(traces, tmp_path, capsys):
    out = tmp_path / "fusion.json"
    assert main([str(traces), "--out", str(out), "--kinds", "sum", "logistic", "--draws", "50"]) == 0
    printed = capsys.readouterr().out
    assert "| logistic |" in printed and "| dear alone |" in printed and "one fusion takes" in printed
    fitted = load(out)
    assert fitted.digest in printed and fitted.members == ("fast", "dear")
    assert fitted.fuse([Evidence("fast", "v", 3.0), Evidence("dear", "v", 3.0)]) > 1


def test_members_and_kind_can_be_asked_for(traces, tmp_path):
    out = tmp_path / "fusion.json"
    command = [str(traces), "--out", str(out), "--kinds", "logistic", "--kind", "sum", "--draws", "20"]
    assert main([*command, "--members", "dear", "--prior", "0.25"]) == 0
    fitted = load(out)
    assert (fitted.kind, fitted.members, fitted.prior) == ("sum", ("dear",), 0.25)


def test_what_is_no_table_is_named(traces, tmp_path, capsys):
    other = tmp_path / "other.npz"
    np.savez(other, scores=np.zeros(3))
    (tmp_path / "text.npz").write_text("hello")
    for path, why in (
        (other, "lacks members"),
        (tmp_path / "text.npz", "no rows"),
        (tmp_path / "none", "no rows"),
    ):
        assert main([str(path), "--out", str(tmp_path / "fusion.json")]) == 1
        error = capsys.readouterr().err
        assert path.name in error and why in error
    assert main([str(traces), "--out", str(tmp_path / "f"), "--members", "lidar"]) == 1
    assert "nothing is known of lidar" in capsys.readouterr().err


@pytest.mark.parametrize("prior", ["0", "1", "-3", "nan"])
def test_an_impossible_prior_is_refused(traces, tmp_path, prior):
    with pytest.raises(SystemExit):
        main([str(traces), "--out", str(tmp_path / "f"), "--prior", prior])


def test_help_and_serving_do_without_torch():
    code = (
        "import sys, models.learn.fuse, models.fusion.meta, models.fusion.residual, models.fusion.attention;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

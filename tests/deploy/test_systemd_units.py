"""The units: systemd verifies them and rates their exposure; what restarts and stops rely on is there."""

from __future__ import annotations

import configparser
import re
import shutil
from pathlib import Path

import pytest
from deploy_kit import ROOT, SYSTEMD, run, tool

from miner.app import DRAIN_S, EXIT_DEREGISTERED

EXPOSURE = {"streetvision-miner.service": 20, "sglang@.service": 45}
"""Most that `systemd-analyze security` may find, in tenths; 100 is a unit without any of it."""
SINCE_254 = ("RestartSteps", "RestartMaxDelaySec")


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str
    parser.read(SYSTEMD / name, encoding="utf-8")
    return parser


def staged(name: str, folder: Path) -> Path:
    """The unit with paths that exist, so that verifying looks at the rest."""
    text = (SYSTEMD / name).read_text(encoding="utf-8").replace("/opt/streetvision-miner", str(folder))
    for environment in (".venv", ".venv-sglang"):
        (folder / environment / "bin").mkdir(parents=True, exist_ok=True)
        shutil.copy("/bin/true", folder / environment / "bin" / "python")
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", EXPOSURE)
def test_systemd_understands_every_line(name, tmp_path):
    analyze = tool("systemd-analyze", "systemd")
    done = run(analyze, "verify", "--man=no", staged(name, tmp_path))
    lines = [line for line in done.stderr.splitlines() if name.partition(".")[0].rstrip("@") in line]
    version = int(re.search(r"\d+", run(analyze, "--version").stdout)[0])
    known = SINCE_254 if version < 254 else ()
    assert not [line for line in lines if not any(f"'{key}'" in line for key in known)], done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("name", "most"), EXPOSURE.items())
def test_little_is_exposed(name, most, tmp_path):
    analyze = tool("systemd-analyze", "systemd")
    path = staged(name, tmp_path)
    done = run(analyze, "security", "--offline=true", "--no-pager", f"--threshold={most}", path)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd cannot rate a file offline (it came with 250)")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_stop_leaves_time_to_answer_what_was_admitted():
    service = unit("streetvision-miner.service")["Service"]
    assert float(service["TimeoutStopSec"]) >= 2 * DRAIN_S
    assert service["KillMode"] == "mixed", "the children must live until the front has drained"
    assert int(service["RestartPreventExitStatus"]) == EXIT_DEREGISTERED
    assert service["OOMPolicy"] == "continue", "a child killed for memory must not take the front along"


@pytest.mark.parametrize("name", EXPOSURE)
def test_restarts_back_off_and_never_give_up(name):
    parsed = unit(name)
    service = parsed["Service"]
    assert parsed["Unit"]["StartLimitIntervalSec"] == "0"
    assert service["Restart"] == "on-failure"
    assert float(service["RestartSec"]) * 10 < float(service["RestartMaxDelaySec"])
    assert service["User"] != "root" and service["NoNewPrivileges"] == "yes"


def test_the_units_name_what_the_project_has():
    service = unit("streetvision-miner.service")["Service"]
    assert (ROOT / service["ExecStart"].split()[-1]).is_file()
    for name in EXPOSURE:
        page = unit(name)["Unit"]["Documentation"].removeprefix("file:/opt/streetvision-miner/")
        assert (ROOT / page).is_file()


def test_what_the_plan_writes_feeds_the_server_unit(tmp_path):
    """The plan's file through the unit's own command line, with a shell that shows what python would get."""
    from miner.plan import main

    assert main(["--gpus", "1xH100-80", "--members", "qwen3-vl-8b", "--env-dir", str(tmp_path)]) == 0
    (written,) = tmp_path.glob("*.env")
    environment = dict(line.split("=", 1) for line in written.read_text().splitlines())
    command = unit("sglang@.service")["Service"]["ExecStart"]
    script = re.fullmatch(r"/bin/sh -c '(.*)'", command)[1]
    shown = script.replace("exec /opt/streetvision-miner/.venv-sglang/bin/python", "printf '%s\\\\n'")
    words = run("/bin/sh", "-c", shown, env=environment).stdout.splitlines()
    assert words[:2] == ["-m", "sglang.launch_server"]
    assert words[words.index("--served-model-name") + 1] == "qwen3-vl-8b"
    assert '{"image":6}' in words, "quoted JSON arrives in one piece"

"""The command line: what an operator sees with and without a running miner."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from miner.cli import app
from miner.commands import ELSEWHERE
from miner.control import SOCKET_NAME
from miner.control_server import ControlServer
from miner.ledger import LEDGER_NAME, Ledger
from miner.records import Exchange
from miner.status import Status

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def data(tmp_path) -> Path:
    return tmp_path / "data"


def invoke(*args: str):
    return CliRunner().invoke(app, args)


def python(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *args], cwd=ROOT, capture_output=True, text=True, check=False)


def a_status(**changes) -> Status:
    status = {
        "version": "0.1.0",
        "network": "finney",
        "netuid": 72,
        "url": "http://127.0.0.1:8092/",
        "started_at": time.time() - 7300,
        "now": time.time(),
        "hotkey": "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty",
        "uid": 17,
        "registered": True,
        "ready": True,
        "reasons": [],
        "alarms": [],
        "validators": [],
        "hotkeys": [],
        "chain": {"state": "ok", "reason": "", "age_s": 12.0, "block": 8104216, "uid": 17, "failures": 0},
        "subnet": {"level": "warn", "sentence": "Think twice: [red]86 %[/red] is burned."},
        "engine": {
            "state": "ready",
            "versions": {"classifier": "v1"},
            "device": "cpu",
            "image_ms": 31.4,
            "queued": 0,
            "in_flight": 1,
            "restarts": 0,
            "course": "",
            "course_why": "",
            "course_log": [],
            "never": "",
        },
        "reward": {
            "incentive": 0.0041,
            "emission_alpha": 0.61,
            "alpha_per_day": 12.1,
            "tao_per_day": 0.0375,
            "rank": 31,
            "position": 3,
        },
        "counts": {"outcomes": {"answered": 412}, "refused": {"403 stranger": 1290}},
        "recent": [
            {
                "id": "1",
                "at_s": time.time(),
                "caller": "5GP7c3fFazW9",
                "outcome": "answered",
                "status": 200,
                "prediction": 0.873,
                "ms": 31.0,
                "margin_s": 7.4,
                "notes": ["[bold]cached"],
            }
        ],
        "payouts": [],
        "servers": [],
        "exits": [],
        "recorder": {},
    }
    return {**status, **changes}


async def with_miner(data: Path, status: Status, *args: str):
    async def answer() -> Status:
        return status

    server = ControlServer(data / SOCKET_NAME, {"status": answer})
    await server.start()
    try:
        return await asyncio.to_thread(invoke, *args, "--data.path", str(data))
    finally:
        await server.stop()


async def test_a_server_is_loaded_by_name_and_a_refusal_is_said(data):
    async def load(name: str) -> str:
        if name != "heavy":
            raise ValueError("there is heavy")
        return "heavy is being loaded"

    server = ControlServer(data / SOCKET_NAME, {"server_load": load})
    await server.start()
    try:
        done = await asyncio.to_thread(invoke, "server", "load", "heavy", "--data.path", str(data))
        run = [sys.executable, "-m", "miner", "server", "load", "x", "--data.path", str(data)]
        refused = await asyncio.to_thread(subprocess.run, run, capture_output=True, text=True)
    finally:
        await server.stop()
    assert done.exit_code == 0 and "heavy is being loaded" in done.output
    assert refused.returncode == 1 and "there is heavy" in refused.stderr


def a_ledger(data: Path) -> None:
    ledger = Ledger(data / LEDGER_NAME, hotkey="5FHneW46xGXgs5")
    ledger.event("stop", {"why": "SIGTERM"})
    ledger.subnet_health({"level": "fail", "sentence": "Do not register now: all of it is burned."})
    ledger.payout({"block": 360, "alpha": 1.25, "tao": 0.004, "incentive": 0.01, "rank": 7})
    ledger.payout({"block": 720, "alpha": 2.5, "tao": 0.008, "incentive": 0.02, "rank": 5})
    ledger.write([Exchange("1", time.time_ns(), "ours", "validator", "192.0.2.1", "10.5.0", 200, "answered")])
    ledger.close()


async def test_status_of_a_running_miner(data):
    result = await with_miner(data, a_status(), "status")
    assert result.exit_code == 0
    for words in (
        "● answering",
        "UID 17",
        "block 8104216",
        "412 answered",
        "1290 403 stranger",
        "12.1 alpha a day",
        "pruned after 3",
        "5GP7c3…",
        "0.873",
        "http://127.0.0.1:8092/",
        "2 hours",
    ):
        assert words in result.output, words


async def test_status_of_a_miner_with_several_hotkeys_shows_each(data):
    reward = {**a_status()["reward"], "position": None}
    row = {"port": 8091, "address": "published", "sentence": "", "immune_blocks": 0, "twin": None}
    first = {**row, "hotkey": "5First" + "x" * 42, "uid": 17, "reward": reward, "twin": (0.61, 0.93)}
    second = {**row, "hotkey": "5Second" + "x" * 41, "uid": None, "reward": None}
    rows = [{**each, "challenges": 412, "answered": 409} for each in (first, second)]
    result = await with_miner(data, a_status(hotkeys=rows), "status")
    for words in ("5First…", "5Secon…", "0.610 to 0.930", "not at risk", "not registered", "409"):
        assert words in result.output, words


async def test_status_tells_whether_validators_can_find_the_miner(data):
    row = {"hotkey": "5First", "uid": 17, "port": 8091, "address": "hidden", "sentence": "no validator can"}
    result = await with_miner(data, a_status(hotkeys=[row]), "status")
    assert "no validator can" in result.output


async def test_brackets_are_text_and_never_markup(data):
    result = await with_miner(data, a_status(), "status")
    assert "[red]86 %[/red]" in result.output and "[bold]cached" in result.output


async def test_a_miner_that_does_not_answer_challenges_says_why(data):
    status = a_status(ready=False, reasons=["chain down: refused"], reward=None, recent=[], uid=None)
    result = await with_miner(data, status, "status")
    assert "○ not answering" in result.output and "because: chain down: refused" in result.output
    assert "No challenge yet." in result.output


async def test_status_as_json_is_what_the_miner_said(data):
    status = a_status()
    result = await with_miner(data, status, "status", "--json")
    assert json.loads(result.output) == status


def test_without_a_miner_status_says_how_to_start_one_and_what_the_last_one_did(data):
    a_ledger(data)
    result = invoke("status", "--data.path", str(data))
    assert result.exit_code == 1
    for words in (
        "No miner is running",
        "neurons/miner.py",
        "1 answered",
        "2.500000 alpha at block 720",
        "ago: Do not register now: all of it is burned.",
        "stop",
    ):
        assert words in result.output, words
    facts = json.loads(invoke("status", "--json", f"--data.path={data}").output)
    assert facts["running"] is False and facts["last_day"]["outcomes"] == {"answered": 1}


def test_without_a_miner_and_a_ledger_status_still_answers(data):
    result = invoke("status", "--data.path", str(data))
    assert result.exit_code == 1 and "No miner is running" in result.output and not data.exists()


def test_rewards_lists_what_was_paid(data):
    assert "No epoch has paid" in invoke("rewards", "--data.path", str(data)).output
    a_ledger(data)
    shown = invoke("rewards", "--data.path", str(data)).output
    assert shown.index("360") < shown.index("720") and "2 epochs, 3.750000 alpha" in shown
    rows = json.loads(invoke("rewards", "--json", "--limit", "1", "--data.path", str(data)).output)
    assert [row["block"] for row in rows] == [720]


def test_rewards_by_day_as_files_and_against_the_cost(data, tmp_path):
    a_ledger(data)
    folder = f"--data.path={data}"
    assert "3.750000 alpha" in invoke("rewards", "--days", "7", folder).output
    (day,) = json.loads(invoke("rewards", "--days", "7", "--json", folder).output)
    assert (day["alpha"], day["epochs"]) == (3.75, 2)
    assert invoke("rewards", "--csv", "-", folder).output.startswith("date,alpha")
    assert invoke("rewards", "--plot", str(tmp_path / "days.html"), folder).exit_code == 0
    assert "<svg" in (tmp_path / "days.html").read_text()
    money = json.loads(
        invoke("rewards", "--cost-per-hour", "0.1", "--tao-price", "200", "--json", folder).output
    )
    assert money["alpha"] == 3.75 and money["cost"] == pytest.approx(2.4)
    refused = python("-m", "miner", "rewards", "--cost-per-hour", "0.1", folder)
    assert refused.returncode == 1 and "--tao-price" in refused.stderr and "Traceback" not in refused.stderr


def test_a_wrong_flag_is_a_sentence_and_exit_status_2():
    result = python("-m", "miner", "status", "--data.pth", "x")
    assert (
        result.returncode == 2
        and "did you mean --data.path?" in result.stderr
        and "Traceback" not in result.stderr
    )


def test_a_ledger_that_cannot_be_read_is_a_sentence(data):
    data.mkdir()
    (data / LEDGER_NAME).write_bytes(b"no database" * 1000)
    result = python("-m", "miner", "rewards", f"--data.path={data}")
    assert result.returncode == 1 and "cannot be read" in result.stderr and "Traceback" not in result.stderr


def test_version_and_help():
    assert (
        "streetvision-miner" in invoke("version").output and "bittensor" in invoke("version", "--json").output
    )
    shown = python("-m", "miner", "--help")
    assert shown.returncode == 0 and all(
        name in shown.stdout for name in ("status", "rewards", "rehearse", "version")
    )


def test_reading_commands_import_nothing_heavy(data):
    heavy = ("torch", "bittensor", "numpy", "PIL", "transformers", "uvicorn", "starlette", "apscheduler")
    heavy += ("asyncio", "loguru", "miner.ledger.writer", "miner.review.command")
    words = ["streetvision-miner", "rewards", "--json", f"--data.path={data}"]
    code = f"import sys, miner.cli; sys.argv = {words}\ntry: miner.cli.main()\nexcept SystemExit: pass\n"
    result = python("-c", f"{code}print([m for m in {heavy} if m in sys.modules])")
    assert result.stdout.split() == ["[]", "[]"], result.stderr


def test_every_command_that_lives_elsewhere_is_listed_and_found():
    import typer

    group = typer.main.get_command(app)
    context = typer.Context(group)
    assert set(ELSEWHERE) < set(group.list_commands(context))
    assert all(group.get_command(context, name) for name in group.list_commands(context))
    assert group.get_command(context, "nothing") is None


@pytest.mark.parametrize(
    ("command", "word"), [("evaluate", "--against"), ("train", "--seeds"), ("import", "--against")]
)
def test_the_learning_tools_are_reached_from_the_command_line(command, word):
    run = subprocess.run([sys.executable, "-m", "miner", command, "--help"], capture_output=True, text=True)
    assert run.returncode == 0 and word in run.stdout and "python -m models.learn" in run.stdout

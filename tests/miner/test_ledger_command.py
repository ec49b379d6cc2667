"""`streetvision-miner ledger` and `jobs`: what they print, what they exit with, what a running miner adds."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from miner.cli import app
from miner.control import SOCKET_NAME
from miner.control_server import ControlServer
from miner.ledger import LEDGER_NAME, Ledger, recent
from miner.records import Exchange
from miner.settings.passed import split

ROOT = Path(__file__).resolve().parents[2]
FIRST_NS = time.time_ns() - 1_000 * 10**9
CALLERS, OUTCOMES = ("5Big", "5Bigger", "5Small"), ("answered", "answered", "answered", "shed", "late")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def data(tmp_path) -> Path:
    book = Ledger(tmp_path / "data" / LEDGER_NAME, hotkey="ours")
    book.write([exchange(number) for number in range(200)])
    book.job_run("backup", at_s=5.0, trigger="manual", seconds=1.5, outcome="ok", detail="a copy")
    book.job_run("disk", at_s=9.0, trigger="schedule", seconds=0.1, outcome="failed", detail="full")
    book.close()
    return book.path.parent


def exchange(number: int) -> Exchange:
    return Exchange(
        *(f"id-{number}", FIRST_NS + number * 10**9, "ours", CALLERS[number % 3], "192.0.2.1", "11.3"),
        *(200, OUTCOMES[number % 5]),
        prediction=0.5,
        ms={"total": 10.0 + number},
    )


def invoke(*args: str):
    return CliRunner().invoke(app, args)


def rows(*args: str):
    result = invoke("ledger", "--json", *args)
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def python(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *args], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_newest_challenges_are_listed_and_filtered(data):
    flag = f"--data.path={data}"
    assert [row["id"] for row in rows("--limit", "3", flag)] == ["id-199", "id-198", "id-197"]
    assert {row["caller"] for row in rows("--caller", "5Big", "--limit", "50", flag)} == {"5Big", "5Bigger"}
    late = rows("--outcome", "late", "--caller", "5Small", "--limit", "99", flag)
    assert len(late) == 13 and {(row["outcome"], row["caller"]) for row in late} == {("late", "5Small")}
    assert len(rows("--since", "1h", "--limit", "999", flag)) == 200
    assert rows("--since", "0.1min", flag) == []
    assert "5Small" in invoke("ledger", flag).output


def test_filters_agree_with_a_plain_look_at_all_rows(data):
    everything = recent(data / LEDGER_NAME, 1000)
    for caller in ("", "5", "5Big", "5Small", "nobody"):
        for outcome in ("", "answered", "shed", "error"):
            for hotkey in (None, "ours", "another's"):
                since = FIRST_NS + 50 * 10**9
                found = recent(data / LEDGER_NAME, 40, hotkey, caller=caller, outcome=outcome, since_ns=since)
                wanted = [
                    one
                    for one in everything
                    if one.caller.startswith(caller)
                    and outcome in ("", one.outcome)
                    and hotkey in (None, one.hotkey)
                    and one.at_ns >= since
                ]
                assert found == wanted[:40]


def test_a_backup_is_made_listed_checked_and_put_back(data):
    flag = f"--data.path={data}"
    assert "200 challenges, checked" in invoke("ledger", "backup", flag).output
    (copy,) = json.loads(invoke("ledger", "backups", "--json", flag).output)
    book = Ledger(data / LEDGER_NAME, hotkey="ours")
    book.write([exchange(1000)])
    book.close()
    assert json.loads(invoke("ledger", "check", "--json", flag).output)["challenges"] == 201
    assert "200 challenges are back" in invoke("ledger", flag, "restore", copy["file"]).output
    assert json.loads(invoke("ledger", "check", "--json", flag).output)["challenges"] == 200


def test_a_running_miners_ledger_is_not_replaced_under_it(data):
    flag = f"--data.path={data}"
    copy = json.loads(invoke("ledger", "backup", "--json", flag).output)["file"]
    with Serving(data, {}):
        refused = python("-m", "miner", "ledger", "restore", copy, flag)
        assert refused.returncode == 1 and "another miner" in refused.stderr


def test_a_damaged_file_and_a_wrong_span_have_their_exit_statuses(data):
    flag, wrong = f"--data.path={data}", data / "wrong.sqlite"
    wrong.write_bytes(b"nothing" * 1000)
    refused = python("-m", "miner", "ledger", "check", str(wrong), flag)
    assert refused.returncode == 1 and "cannot be read" in refused.stderr
    assert python("-m", "miner", "ledger", "--since", "soon", flag).returncode == 2
    assert python("-m", "miner", "ledger", "--no.such.flag", flag).returncode == 2
    assert python("-m", "miner", "ledger", "--data.backups", "many").returncode == 2


def test_without_a_miner_the_last_runs_are_shown_and_the_status_says_so(data):
    shown = invoke("jobs", f"--data.path={data}")
    assert shown.exit_code == 1 and "a copy" in shown.output
    found = json.loads(invoke("jobs", "--runs", "5", "--json", f"--data.path={data}").output)
    assert [(run["job"], run["outcome"]) for run in found] == [("disk", "failed"), ("backup", "ok")]
    (only,) = json.loads(invoke("jobs", "--job", "backup", "--json", f"--data.path={data}").output)
    assert only["at_s"] == 5.0
    assert python("-m", "miner", "jobs", "run", "backup", f"--data.path={data}").returncode == 1


class Serving:
    """A control socket over a folder, answered from a thread of its own."""

    def __init__(self, data: Path, commands) -> None:
        self._server = ControlServer(data / SOCKET_NAME, commands)
        self._loop = asyncio.new_event_loop()

    def __enter__(self):
        self._loop.run_until_complete(self._server.start())
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def a_row(**changes):
    last = {"at_s": 5.0, "trigger": "manual", "seconds": 1.0, "outcome": "ok", "detail": "[red]done"}
    row = {"name": "backup", "about": "copies", "when": "every 1 d", "running": False, "paused": False}
    return {**row, "last": last, "next_s": 10.0, **changes}


def test_a_running_miners_jobs_are_shown_run_paused_and_resumed(data):
    state = {"asked": 0}

    async def jobs():
        state["asked"] += 1
        return [a_row()]

    async def job_run(name):
        return a_row(running=True)

    async def job_pause(name):
        if name != "backup":
            raise ValueError(f"no job {name!r}; there is backup")
        return a_row(paused=True, next_s=None)

    commands = {"jobs": jobs, "job_run": job_run, "job_pause": job_pause}
    flag = f"--data.path={data}"
    with Serving(data, commands):
        assert "[red]done" in invoke("jobs", flag).output
        ran = invoke("jobs", flag, "run", "backup", "--json")
        assert ran.exit_code == 0 and json.loads(ran.output)["last"]["outcome"] == "ok"
        assert state["asked"] >= 2, "it waited for the end"
        assert "paused" in invoke("jobs", "pause", "backup", flag).output
        refused = python("-m", "miner", "jobs", "pause", "never", flag)
        assert refused.returncode == 1 and "there is backup" in refused.stderr


@pytest.mark.parametrize(
    ("argv", "ours", "rest"),
    [
        (["--data.path", "/x", "run", "backup"], ["--data.path", "/x"], ["run", "backup"]),
        (["run", "--data.path=/x", "--json"], ["--data.path=/x"], ["run", "--json"]),
        (["--logging.debug", "run"], ["--logging.debug"], ["run"]),
        (["--logging.debug", "false", "run"], ["--logging.debug", "false"], ["run"]),
        (["--no-page.enabled", "run"], ["--no-page.enabled"], ["run"]),
        (["--env-file", "a.env", "--limit", "3"], ["--env-file", "a.env"], ["--limit", "3"]),
        (["--netuid", "323", "--", "--netuid"], ["--netuid", "323"], ["--", "--netuid"]),
        (["--data.path"], ["--data.path"], []),
    ],
)
def test_settings_flags_are_told_from_a_commands_own_words(argv, ours, rest):
    assert split(argv) == (ours, rest)


@pytest.mark.parametrize(("words", "found"), [("jobs ", "pause"), ("le", "ledger"), ("ledger re", "restore")])
def test_a_shell_can_complete_the_commands(words, found, monkeypatch):
    typed = f"streetvision-miner {words}"
    environment = {
        **os.environ,
        "_STREETVISION_MINER_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split(" ")) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "miner"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found in done.stdout.split()

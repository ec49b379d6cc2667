"""Alerts: a webhook and a command really get each alarm; what is slow, broken or secret harms nothing."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from loguru import logger
from typer.testing import CliRunner

from miner.alarms import Alarms
from miner.alerts import WAITING, AlertSender
from miner.cli import app
from miner.settings import Alerts, Settings, SettingsError, load
from miner.settings.text import describe

HOTKEY = "5Hotkey" + "x" * 41
RINGS = {"key": "disk", "level": "fail", "text": "no room on the disk", "state": "rings"}


class Hook:
    """A webhook on a free port: `got` the bodies, `answers` the next statuses (then 200)."""

    def __init__(self, *answers: int) -> None:
        self.got: list[dict] = []
        left = list(answers)
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                hook.got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(left.pop(0) if left else 200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hooks/a-secret"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """A webhook goes through the host's proxy; the ones here are on this machine."""
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def hook():
    opened = Hook()
    yield opened
    opened.close()


@contextlib.asynccontextmanager
async def sending(**section):
    sender = AlertSender(Alerts(**{"retry_s": 0, **section}), HOTKEY)
    task = asyncio.create_task(sender.run())
    try:
        yield sender
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
def log():
    text = io.StringIO()
    handler = logger.add(text, format="{message}")
    yield text
    logger.remove(handler)


async def test_the_webhook_hears_beginning_and_end(hook):
    async with sending(webhook=hook.url) as sender:
        alarms = Alarms(lambda _, alarm: sender.send(alarm))
        alarms.ring("disk", "fail", "no room on the disk")
        alarms.ring("disk", "fail", "still no room")
        alarms.end("disk")
        await until(lambda: len(hook.got) == 2)
    rings, over = hook.got
    assert (rings["state"], over["state"]) == ("rings", "over")
    assert rings["text"] == rings["content"] == "[fail] streetvision-miner 5Hotke: no room on the disk"
    assert over["text"].startswith("[over]") and rings["hotkey"] == HOTKEY and rings["key"] == "disk"


async def test_the_command_gets_json_and_environment_but_none_of_our_secrets(tmp_path, monkeypatch):
    monkeypatch.setenv("SVM_PAGE__TOKEN", "a-secret")
    out, whole = tmp_path / "out.json", tmp_path / "whole"
    code = f"""import json, os, sys
told = json.load(sys.stdin) | {{"env": dict(os.environ)}}
open({str(whole)!r}, "w").write(json.dumps(told))
os.rename({str(whole)!r}, {str(out)!r})
"""
    script = tmp_path / "tell.py"
    script.write_text(code)
    async with sending(command=f"{sys.executable} {script}") as sender:
        sender.send(RINGS)
        await until(out.exists)
    told = json.loads(out.read_text())
    assert told["alarm"] == told["env"]["SVM_ALARM_TEXT"] == "no room on the disk"
    assert told["env"]["SVM_ALARM_LEVEL"] == "fail" and "SVM_PAGE__TOKEN" not in told["env"]


@pytest.mark.parametrize("level", ["info", "warn"])
async def test_what_is_below_the_level_is_not_told(hook, level):
    async with sending(webhook=hook.url, level="fail") as sender:
        sender.send(RINGS | {"level": level})
        sender.send(RINGS)
        await until(lambda: hook.got)
    assert [told["level"] for told in hook.got] == ["fail"]


async def test_a_failure_is_tried_again_then_logged_without_the_address(log):
    flaky = Hook(500, 200, 500, 503)
    try:
        async with sending(webhook=flaky.url) as sender:
            sender.send(RINGS)
            await until(lambda: len(flaky.got) == 2)
            sender.send(RINGS)
            await until(lambda: "HTTP 503" in log.getvalue())
    finally:
        flaky.close()
    assert log.getvalue().count("did not take") == 1 and "a-secret" not in log.getvalue()


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ({"webhook": "http://127.0.0.1:9/a-secret"}, "ConnectError"),
        ({"command": "/nonexistent/program"}, "No such file"),
        ({"command": "false"}, "exit status 1"),
        ({"command": "sleep 60", "timeout_s": 0.1}, "not done after 0.1 s"),
    ],
)
async def test_a_broken_channel_is_said_in_the_log_and_the_next_alarm_still_goes(section, why, log):
    async with sending(**section) as sender:
        sender.send(RINGS)
        await until(lambda: log.getvalue().count(why) == 1)
        sender.send(RINGS)
        await until(lambda: log.getvalue().count(why) == 2)
    assert "a-secret" not in log.getvalue()


async def test_what_waits_is_bounded(log):
    sender = AlertSender(Alerts(command="true"), HOTKEY)
    for _ in range(WAITING + 5):
        sender.send(RINGS)
    assert log.getvalue().count("not sent") == 5


def test_without_a_channel_nothing_waits():
    sender = AlertSender(Alerts(), HOTKEY)
    for _ in range(WAITING * 2):
        sender.send(RINGS)


def test_the_command_line_tries_the_channels(hook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def tried(*words: str) -> tuple[int, dict]:
        done = CliRunner().invoke(app, ["alert", "--json", *words])
        return done.exit_code, json.loads(done.output)

    assert tried(f"--alerts.webhook={hook.url}") == (0, {"webhook": None})
    assert hook.got[0]["text"].endswith("a test, nothing is wrong")
    both = (f"--alerts.webhook={hook.url}", "--alerts.command=false")
    assert tried(*both) == (1, {"webhook": None, "command": "exit status 1"})
    assert tried() == (1, {})


def test_the_address_is_never_shown_and_must_be_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = load(["--alerts.webhook", "https://chat.example/a-secret"], {})
    assert "a-secret" not in str(describe(settings)) and Settings().alerts.webhook is None
    for bad in ("ftp://a-secret", "a-secret"):
        with pytest.raises(SettingsError) as refused:
            load(["--alerts.webhook", bad], {})
        assert "a-secret" not in str(refused.value)

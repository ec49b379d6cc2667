"""A profile of the front: what is busy is found, what waits is not, and only one is taken at a time."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from miner.cli import app
from miner.control import SOCKET_NAME
from miner.control_server import ControlServer
from miner.telemetry.profile import LONGEST_S, Profiler, top


@pytest.fixture
def busy() -> Iterator[None]:
    """A thread that works all the time, and one that waits."""
    over = threading.Event()

    def spin_here() -> None:
        until = time.monotonic() + 0.001
        while time.monotonic() < until:
            pass

    def work() -> None:
        while not over.is_set():
            spin_here()

    threads = [
        threading.Thread(target=work, name="worker"),
        threading.Thread(target=over.wait, name="waiter"),
    ]
    for thread in threads:
        thread.start()
    yield
    over.set()
    for thread in threads:
        thread.join()


async def no_models(seconds, file):
    raise ValueError("no process of this host judges now")


async def test_the_busy_thread_is_found_and_the_waiting_one_left_out(busy, tmp_path):
    found = await Profiler(tmp_path, no_models).profile(0.5)
    lines = (tmp_path / found["file"]).read_text().splitlines()
    assert found["looks"] == sum(int(line.rsplit(" ", 1)[1]) for line in lines) > 0
    assert any(line.startswith("worker;") and "spin_here" in line for line in lines)
    assert not [line for line in lines if line.startswith("waiter;")]
    assert all(re.fullmatch(r"[^ ]+ \d+", line) for line in lines), "one blank a line: flame graphs read it"
    assert any("spin_here" in function for function, _ in found["top"])


@pytest.mark.parametrize("seconds", [0, -1, LONGEST_S + 1, "10", None, float("nan")])
async def test_what_is_no_time_is_refused(seconds, tmp_path):
    with pytest.raises(ValueError, match="seconds"):
        await Profiler(tmp_path, no_models).profile(seconds)


async def test_one_at_a_time_and_a_bad_folder_is_said(tmp_path):
    profiler = Profiler(tmp_path / "missing", no_models)
    first = asyncio.create_task(profiler.profile(0.2))
    await asyncio.sleep(0)
    with pytest.raises(ValueError, match="already"):
        await profiler.profile(0.1)
    with pytest.raises(ValueError, match="No such file"):
        await first


def test_shares_count_a_function_once_per_stack():
    assert top({"t;a;b;b": 3, "t;a": 1}) == [("a", 1.0), ("b", 0.75)]


async def test_the_command_line_asks_the_running_miner(busy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    server = ControlServer(tmp_path / SOCKET_NAME, {"profile": Profiler(tmp_path, no_models).profile})
    await server.start()
    words = ["profile", "--seconds", "0.3", "--json", f"--data.path={tmp_path}"]
    done = await asyncio.to_thread(CliRunner().invoke, app, words)
    await server.stop()
    assert done.exit_code == 0 and json.loads(done.output)["looks"] > 0


async def test_of_the_models_it_is_their_operators(tmp_path):
    async def trace(seconds, file):
        file.write_text("{}")
        return [("aten::mm", 0.8)]

    found = await Profiler(tmp_path, trace).profile(0.5, models=True)
    assert found["top"] == [("aten::mm", 0.8)] and (tmp_path / found["file"]).suffix == ".json"
    with pytest.raises(ValueError, match="of the models takes from 0 to 5 seconds"):
        await Profiler(tmp_path, trace).profile(10.0, models=True)
    with pytest.raises(ValueError, match="judges now"):
        await Profiler(tmp_path, no_models).profile(0.5, models=True)

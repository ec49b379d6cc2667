"""The control socket: answers its owner, survives hostile input, keeps a second miner off the folder."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miner import control_server
from miner.control import ControlError, DataFolder, DataFolderBusy, NotRunning, call
from miner.control_server import ControlServer

ROOT = Path(__file__).resolve().parents[2]


async def status(detail: str = "short") -> dict[str, str]:
    return {"state": "ready", "detail": detail}


async def refuse() -> None:
    raise ValueError("nothing to swap to")


async def broken() -> None:
    raise KeyError("internal secret")


async def unserialisable() -> object:
    return object()


async def slow() -> None:
    await asyncio.sleep(3600)


COMMANDS = {"status": status, "refuse": refuse, "broken": broken, "odd": unserialisable, "slow": slow}


@asynccontextmanager
async def running(path: Path):
    server = ControlServer(path, COMMANDS)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def ask(path: Path, command: str, **args):
    return await asyncio.to_thread(call, path, command, **args)


async def raw(path: Path, data: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(data)
    writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "data" / "control.sock"


async def test_a_command_with_arguments_is_answered(path):
    async with running(path):
        assert await ask(path, "status", detail="long") == {"state": "ready", "detail": "long"}


async def test_only_the_owner_may_open_it(path):
    async with running(path):
        assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("command", "args", "words"),
    [
        ("nonsense", {}, "there is broken, odd, refuse"),
        ("status", {"unknown": 1}, "unknown"),
        ("refuse", {}, "nothing to swap to"),
        ("broken", {}, "log says why"),
        ("odd", {}, "log says why"),
    ],
)
async def test_what_goes_wrong_is_told_and_the_server_lives(path, command, args, words):
    async with running(path):
        with pytest.raises(ControlError, match=words) as caught:
            await ask(path, command, **args)
        assert "internal secret" not in str(caught.value)
        assert await ask(path, "status")


async def test_a_command_that_hangs_is_given_up(path, monkeypatch):
    monkeypatch.setattr(control_server, "COMMAND_S", 0.01)
    async with running(path):
        with pytest.raises(ControlError, match="longer than"):
            await ask(path, "slow")


HOSTILE = [
    b"",
    b"\n",
    b"not json\n",
    b"[]\n",
    b'{"command": 5}\n',
    b'{"command": "status", "args": []}\n',
    b"[" * 60_000 + b"\n",
    b"\x00\xff\xfe" * 1000 + b"\n",
    b"x" * (control_server.LINE_BYTES * 4),
    b'{"command": "' + b"a" * 60_000 + b'"}\n',
]


async def test_hostile_input_ends_in_an_error_or_a_closed_connection(path):
    async with running(path):
        for data in HOSTILE:
            replies = (await raw(path, data)).splitlines()
            assert all(json.loads(reply)["ok"] is False and len(reply) < 1000 for reply in replies)
        assert await ask(path, "status")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(data):
    try:
        command, args = control_server._parse(data)
    except ControlError:
        return
    assert isinstance(command, str) and isinstance(args, dict)


async def test_a_client_that_says_nothing_is_let_go(path, monkeypatch):
    monkeypatch.setattr(control_server, "READ_S", 0.01)
    async with running(path):
        reader, writer = await asyncio.open_unix_connection(path)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


async def test_too_many_clients_are_turned_away_and_the_first_still_served(path, monkeypatch):
    monkeypatch.setattr(control_server, "CLIENTS", 2)
    async with running(path):
        first = [await asyncio.open_unix_connection(path) for _ in range(2)]
        for reader, writer in first:
            writer.write(b'{"command": "status"}\n')
            assert json.loads(await reader.readline())["ok"]
        assert await raw(path, b'{"command": "status"}\n') == b""
        for _, writer in first:
            writer.close()


async def test_stopping_does_not_wait_for_idle_clients(path):
    async with running(path):
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"command": "slow"}\n')
        await asyncio.sleep(0)
    writer.close()
    assert not path.exists()


def test_without_a_miner_the_caller_is_told(path):
    with pytest.raises(NotRunning):
        call(path, "status")


async def test_a_second_miner_on_the_folder_is_refused_with_a_sentence(path):
    async with running(path):
        with pytest.raises(DataFolderBusy, match=rf"process {os.getpid()}.*--data\.path"):
            await ControlServer(path, COMMANDS).start()
        assert await ask(path, "status"), "the first one is not disturbed"
    async with running(path):
        assert await ask(path, "status"), "the folder is free again"


async def test_a_miner_that_is_still_starting_keeps_others_off_and_is_not_answering(path):
    commands = {}
    server = ControlServer(path, commands)
    server.hold()
    with pytest.raises(DataFolderBusy):
        ControlServer(path, COMMANDS).hold()
    with pytest.raises(NotRunning):
        call(path, "status")
    commands |= COMMANDS
    await server.start()
    assert await ask(path, "status")
    await server.stop()


HOLDER = """
import sys, time
from pathlib import Path
from miner.control import DataFolder
DataFolder(Path(sys.argv[1])).hold()
print("held", flush=True)
time.sleep(60)
"""


async def test_a_killed_miner_leaves_nothing_in_the_way(path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path.parent)], cwd=ROOT, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        with socket.socket(socket.AF_UNIX) as leftover:
            leftover.bind(str(path))
        with pytest.raises(DataFolderBusy, match=str(holder.pid)):
            DataFolder(path.parent).hold()
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    with pytest.raises(NotRunning):
        call(path, "status")
    async with running(path):
        assert await ask(path, "status")


async def test_something_else_at_the_sockets_place_is_not_removed(path):
    path.parent.mkdir()
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="move it away"):
        await ControlServer(path, COMMANDS).start()
    assert path.read_text() == "precious"
    DataFolder(path.parent).hold()


async def test_a_data_folder_with_a_long_name_works(tmp_path):
    path = tmp_path / ("long" * 30) / "control.sock"
    async with running(path):
        assert await ask(path, "status")

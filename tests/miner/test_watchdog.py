"""systemd must hear READY once a model answers, and silence when none does."""

import asyncio
import socket

from miner.engine.interface import EngineHealth
from miner.watchdog import feed, interval_s, state_of

READY = EngineHealth(ready=True, state="ready")


def test_ready_is_said_once_and_fed_after():
    assert "READY=1" in state_of(READY, said_ready=False)
    assert state_of(READY, said_ready=True) == ["STATUS=ready", "WATCHDOG=1"]


def test_a_dead_engine_is_not_fed():
    assert "WATCHDOG=1" not in state_of(EngineHealth(ready=False, state="down", detail="no child"), True)


def test_interval_leaves_room_for_two_losses():
    assert interval_s({"WATCHDOG_USEC": "60000000"}) == 20.0
    assert interval_s({}) == interval_s({"WATCHDOG_USEC": "soon"}) == 5.0


async def test_a_real_notify_socket_hears_it(tmp_path, monkeypatch):
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        task = asyncio.create_task(feed(lambda: READY))
        heard = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(listener, 1024), 5)
        task.cancel()
    assert b"READY=1" in heard and b"WATCHDOG=1" in heard

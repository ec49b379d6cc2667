"""The supervisor against a process that behaves as SGLang does, and misbehaves as told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest
from loguru import logger

from miner.engine.failover import Breaker
from miner.servers import Servers, ServerSpec
from miner.servers.flags import check_all
from miner.servers.gpus import Memory, parse
from miner.servers.supervisor import Host, Supervisor
from models.vlm.secret import Secret

FAKE = (str(Path(__file__).parent / "fake_server.py"),)
GPUS = parse("0, NVIDIA H100 80GB HBM3, 81559, 9.0")
LONG_S = 30.0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def spec(**given) -> ServerSpec:
    fake = given.pop("fake", {})
    usual = {
        "name": "fake", "model": "vlm-b", "model_path": "nowhere", "port": free_port(),
        "gate_port": free_port(), "device": "cpu", "gpus": (), "check_s": 0.1, "hang_s": 1.5, "stop_s": 3.0,
        "env": {"FAKE": json.dumps(fake)},
    }  # fmt: skip
    return ServerSpec(**{**usual, **given})


def host(tmp_path) -> Host:
    return Host(sys.executable, tmp_path, FAKE, poll_s=0.02)


def eager() -> Breaker:
    return Breaker(first_s=0.01, longest_s=0.05, most=3, pause_s=60.0, stable_s=1e9)


class Run:
    """A supervisor under way; ended with the block."""

    def __init__(self, tmp_path, key: Secret | None = None, **given) -> None:
        self.supervisor = Supervisor(spec(**given), host(tmp_path), key, eager())

    async def __aenter__(self) -> Run:
        self.task = asyncio.create_task(self.supervisor.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])

    @property
    def health(self):
        return self.supervisor.health()

    async def until(self, *states: str, pid_not: int = -1):
        return await until(lambda: self.health.state in states and self.health.pid != pid_not and self.health)

    async def tell(self, path: str, body: object) -> None:
        async with httpx.AsyncClient(base_url=self.supervisor.spec.address, trust_env=False) as client:
            await client.post(path, json=body)


async def until(what):
    end = time.monotonic() + LONG_S
    while not (found := what()):
        assert time.monotonic() < end, "it never came"
        await asyncio.sleep(0.01)
    return found


async def test_a_server_is_ready_once_a_picture_was_scored_and_its_end_takes_its_children_along(tmp_path):
    async with Run(tmp_path, fake={"child": True}) as run:
        health = await run.until("ready")
        family = psutil.Process(health.pid).children(recursive=True)
        assert health.probe_ms > 0 and health.here and health.restarts == 0 and family
    assert run.health.state == "stopped" and run.health.pid is None
    await until(lambda: not any(one.is_running() and one.status() != "zombie" for one in family))
    assert not psutil.pid_exists(health.pid)


async def test_one_that_ignores_being_asked_is_killed(tmp_path):
    async with Run(tmp_path, fake={"stubborn": True}, stop_s=0.2) as run:
        pid = (await run.until("ready")).pid
    assert not psutil.pid_exists(pid)


async def test_a_killed_server_is_started_again(tmp_path):
    async with Run(tmp_path) as run:
        pid = (await run.until("ready")).pid
        os.kill(pid, signal.SIGKILL)
        assert (await run.until("ready", pid_not=pid)).restarts == 1


async def test_a_server_that_takes_questions_and_never_answers_is_started_again(tmp_path):
    async with Run(tmp_path) as run:
        pid = (await run.until("ready")).pid
        await run.tell("/fake/set", {"hang": True})
        assert (await run.until("unwell")).detail == "deadline"
        await run.until("ready", pid_not=pid)


async def test_a_paused_server_is_let_be(tmp_path):
    async with Run(tmp_path, hang_s=0.5) as run:
        pid = (await run.until("ready")).pid
        await run.tell("/pause_generation", {"mode": "abort"})
        await run.until("paused")
        await asyncio.sleep(1.2)
        assert (run.health.state, run.health.pid) == ("paused", pid)
        await run.tell("/continue_generation", {})
        assert (await run.until("ready")).pid == pid


async def test_one_that_dies_at_once_again_and_again_is_left_alone_for_a_while(tmp_path):
    async with Run(tmp_path, fake={"exit": 3}) as run:
        health = await run.until("crash_loop")
        assert "exit status 3" in health.detail and "no memory left" in health.detail
        assert health.restarts == 2


@pytest.mark.parametrize(
    ("fake", "reason"),
    [
        ({"top": [["Maybe", -0.1]]}, "label_mass:0"),
        ({"models": ["another"]}, "wrong_model:another"),
        ({"nonsense": "{}"}, "shape"),
    ],
)
async def test_ready_by_its_own_word_is_not_enough(tmp_path, fake, reason):
    async with Run(tmp_path, fake=fake) as run:
        health = await run.until("crash_loop")
        assert reason in health.detail and health.answered_age_s is None


async def test_one_that_never_gets_ready_is_started_again(tmp_path):
    async with Run(tmp_path, fake={"load_s": 60.0}, start_s=0.5) as run:
        assert "not ready within" in (await run.until("crash_loop", "backoff")).detail


async def test_a_python_that_is_none_is_a_reason_not_a_crash(tmp_path):
    async with Run(tmp_path, python=str(tmp_path / "none")) as run:
        assert "exit status" in (await run.until("crash_loop")).detail


async def test_a_key_is_needed_by_callers_and_shown_to_nobody(tmp_path):
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), level=0)
    try:
        async with Run(tmp_path, Secret("very-secret-0123"), key_env="K") as run:
            pid = (await run.until("ready")).pid
            command = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
            async with httpx.AsyncClient(base_url=run.supervisor.spec.address, trust_env=False) as client:
                assert (await client.get("/v1/models")).status_code == 401
    finally:
        logger.remove(sink)
    assert b"very-secret" not in command
    assert any("server_args" in line for line in lines)
    assert not any("very-secret" in line for line in lines)


class Gpu:
    """One of 80 GiB, of which a test says how much is free."""

    def __init__(self, free_gib: float) -> None:
        self.free_gib = free_gib

    async def kind(self):
        return GPUS

    async def memory(self) -> dict[int, Memory]:
        return {0: Memory(80 * 2**30, round(self.free_gib * 2**30))}


def on_gpu(name: str, share: float, **given) -> ServerSpec:
    return spec(name=name, device="cuda", gpus=(0,), mem_fraction=share, **given)


def static_of(pid: int) -> float:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return float(words[words.index(b"--mem-fraction-static") + 1])


async def test_servers_that_share_a_gpu_load_one_after_another(tmp_path):
    gpu = Gpu(free_gib=80)
    here = replace(host(tmp_path), memory=gpu.memory)
    servers = Servers([on_gpu(name, 0.4, fake={"load_s": 0.2}) for name in "ab"], here, gpus=gpu.kind)
    seen = set()

    def states() -> tuple[str, ...]:
        found = tuple(one.state for one in servers.health())
        seen.add(found)
        return found

    await servers.start()
    try:
        await until(lambda: states() == ("ready", "ready"))
    finally:
        await servers.stop()
    busy = {"starting", "gated", "loading"}
    assert not [both for both in seen if busy.issuperset(both)], seen


async def test_a_share_is_of_the_gpu_whatever_is_on_it_already(tmp_path):
    gpu = Gpu(free_gib=21)
    servers = Servers([on_gpu("a", 0.3)], replace(host(tmp_path), memory=gpu.memory), gpus=gpu.kind)
    await servers.start()
    try:
        waiting = await until(lambda: "GiB free" in servers.health()[0].detail and servers.health()[0])
        assert (waiting.state, waiting.pid) == ("waiting", None)
        assert waiting.detail == "GPU 0 has 21.0 GiB free, its share is 25.0 GiB"
        gpu.free_gib = 41
        pid = (await until(lambda: servers.health()[0].ready and servers.health()[0])).pid
        assert static_of(pid) == pytest.approx(24 / 40)
    finally:
        await servers.stop()


async def test_what_the_gpu_cannot_do_is_refused_and_nothing_is_started(tmp_path):
    servers = Servers([on_gpu("a", 0.5, kv="nvfp4")], host(tmp_path), gpus=Gpu(80).kind)
    await servers.start()
    health = await until(lambda: servers.health()[0].state == "refused" and servers.health()[0])
    await servers.stop()
    assert health.state == "refused" and "use fp8" in health.detail and health.pid is None
    assert not list(tmp_path.iterdir())


async def test_a_server_elsewhere_is_watched(tmp_path, fake):
    at = ServerSpec(name="far", model="vlm-b", url=fake.url, check_s=0.05, hang_s=1.5)
    servers = Servers([at], host(tmp_path))
    await servers.start()
    try:
        await until(lambda: servers.health()[0].ready)
        fake.set(models=["another"])
        await until(lambda: servers.health()[0].state == "unreachable")
        assert servers.health()[0].detail == "wrong_model:another"
        fake.set(models=None)
        await until(lambda: servers.health()[0].ready)
        fake.pause(True)
        await until(lambda: servers.health()[0].state == "paused")
    finally:
        fake.pause(False)
        await servers.stop()
    assert servers.health()[0].state == "stopped"


SCRIPT = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from test_servers_supervisor import Run
async def main():
    async with Run(Path(sys.argv[2])) as run:
        print((await run.until("ready")).pid, flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""


async def test_a_miner_that_is_killed_leaves_no_server_behind(tmp_path):
    miner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(tmp_path),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    server = psutil.Process(int(await miner.stdout.readline()))
    miner.kill()
    await miner.wait()
    await until(lambda: not server.is_running() or server.status() == "zombie")


async def test_a_heavy_server_is_loaded_and_unloaded_on_demand(tmp_path):
    heavy = spec(name="heavy", on_demand=True, fake={"load_s": 0.1})
    servers = Servers([spec(name="light"), heavy], host(tmp_path))
    await servers.start()
    try:
        state = {}

        def look():
            state.update({each.name: each for each in servers.health()})
            return state

        await until(lambda: look()["light"].ready)
        assert state["heavy"].state == "stopped" and state["heavy"].detail == "loaded on demand"
        assert "waits for room" in await servers.load("heavy")
        await until(lambda: look()["heavy"].ready)
        pid = state["heavy"].pid
        with pytest.raises(ValueError, match="already"):
            await servers.load("heavy")
        await servers.unload("heavy")
        assert not psutil.pid_exists(pid) and look()["heavy"].state == "stopped" and state["light"].ready
        with pytest.raises(ValueError, match="not loaded"):
            await servers.unload("heavy")
        await servers.load("heavy")
        await until(lambda: look()["heavy"].ready)
        assert state["heavy"].pid != pid
        with pytest.raises(ValueError, match="there is light, heavy"):
            await servers.load("other")
    finally:
        await servers.stop()
    assert not psutil.pid_exists(state["heavy"].pid)


def test_servers_on_demand_may_claim_what_residents_hold(tmp_path):
    together = [on_gpu("a", 0.9), replace(on_gpu("b", 0.9), on_demand=True)]
    refused, _ = check_all(together, GPUS)
    assert refused == {}
    with pytest.raises(ValueError, match="nobody else's can be started"):
        ServerSpec(name="x", model="m", url="http://elsewhere:1", on_demand=True)

"""Children die, hang, loop and go mad; the requests do not notice."""

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from engine_helpers import COMMAND, ask, make, picture, running, until

from miner.engine import early, process
from miner.engine.blackbox import BlackBox
from miner.engine.child import ChildEngine
from miner.engine.config import EngineConfig
from miner.engine.interface import BadImage, Unavailable
from models.description import Description

ROOT = Path(__file__).parents[3]


async def with_standby(engine):
    await until(lambda: all(seat.usable for seat in engine._seats))


async def load(engine, count, within, gap=0.005):
    """Requests one after the other without waiting for answers, as validators send them."""
    tasks = []
    for n in range(count):
        tasks.append(asyncio.create_task(engine.submit(ask(40 + n % 170, within=within))))
        await asyncio.sleep(gap)
    return tasks


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV"])
async def test_a_child_that_is_killed_under_load_costs_no_answer(name):
    async with running(make("child", standby=True, ms=5)) as engine:
        await with_standby(engine)
        tasks = await load(engine, 60, within=3.0)
        victim = engine.health().pid
        os.kill(victim, getattr(signal, name))
        tasks += await load(engine, 60, within=3.0)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [each for each in results if isinstance(each, Exception)] == []
        assert engine.health().pid != victim
        await until(lambda: engine.health().restarts == 1)
        await until(lambda: engine.health().state == "ready")


async def test_without_a_standby_requests_wait_for_the_next_child():
    async with running(make("child", ms=5)) as engine:
        tasks = await load(engine, 20, within=20.0, gap=0.0)
        os.kill(engine.health().pid, signal.SIGKILL)
        verdicts = await asyncio.gather(*tasks)
        assert all(verdict.spoken for verdict in verdicts)


async def test_a_child_that_hangs_is_replaced_and_costs_no_answer():
    async with running(make("child", standby=True, heartbeat_s=0.1, hang_s=1.0, ms=5)) as engine:
        await with_standby(engine)
        victim = engine.health().pid
        os.kill(victim, signal.SIGSTOP)
        tasks = await load(engine, 30, within=5.0)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [each for each in results if isinstance(each, Exception)] == []
        await until(lambda: engine.health().restarts == 1 and engine.health().state == "ready")
        with pytest.raises(ProcessLookupError):
            os.kill(victim, 0)


async def test_a_kernel_that_hangs_is_found_although_the_heart_beats(monkeypatch):
    monkeypatch.setattr("miner.engine.failover.SUSPECT_BATCH_S", 0.5)
    async with running(make("child", standby=True, heartbeat_s=0.1, hang_s=1.0, hang=10, ms=1)) as engine:
        await with_standby(engine)
        stuck = asyncio.create_task(engine.submit(ask(10, within=4.0)))
        await until(lambda: engine.health().in_flight == 1)
        behind = await asyncio.gather(
            *(engine.submit(ask(200, within=20.0)) for _ in range(5)), return_exceptions=True
        )
        assert any(not isinstance(each, Exception) for each in behind)
        assert {seat["state"] for seat in engine.health().seats} & {"serving"}
        with pytest.raises((Unavailable, BadImage)):
            await stuck
        await until(lambda: engine.health().restarts >= 1)


async def test_a_request_that_kills_children_is_not_asked_for_ever():
    async with running(make("child", standby=True, die=66, ms=5)) as engine:
        await with_standby(engine)
        innocent = await load(engine, 10, within=10.0, gap=0.0)
        with pytest.raises(BadImage, match="poison"):
            await engine.submit(ask(66, within=10.0))
        await until(lambda: engine.health().ready)
        innocent += await load(engine, 10, within=10.0, gap=0.0)
        results = await asyncio.gather(*innocent, return_exceptions=True)
        assert [each for each in results if isinstance(each, Exception)] == []
        assert engine.health().restarts == 2


async def test_a_device_with_a_sticky_error_costs_a_child_and_no_answer():
    async with running(make("child", standby=True, break_after=100)) as engine:
        await with_standby(engine)
        for _ in range(3):
            results = await asyncio.gather(*(await load(engine, 20, within=10.0)), return_exceptions=True)
            assert [each for each in results if isinstance(each, Exception)] == []
        await until(lambda: engine.health().restarts >= 1)


async def test_a_crash_loop_opens_the_breaker_and_says_so():
    engine = make("child", load_error="no such file")
    for seat in engine._seats:
        seat.breaker.first_s = 0.01
        seat.breaker.most = 2
    await engine.start()
    await until(lambda: engine.health().detail.startswith("crash loop"))
    assert engine.health().state == "down"
    assert engine.health().seats[0]["state"] == "crash_loop"
    restarts = engine.health().restarts
    await asyncio.sleep(0.3)
    assert engine.health().restarts == restarts == 1
    await engine.stop()


async def test_no_standby_where_memory_is_short():
    config = EngineConfig(Description("given", ({"kind": "trivial"},)), device="cpu")
    async with running(ChildEngine(config, memory=lambda: 10**8)) as engine:
        await until(lambda: "memory" in engine.health().detail)
        assert engine.health().ready
        assert engine.health().state == "ready"
        assert engine._seats[1].child is None


async def test_a_child_that_cannot_be_started_is_reported():
    config = EngineConfig(Description("given", ({"kind": "trivial"},)), device="cpu", standby=False)
    engine = ChildEngine(config, command=("/nonexistent/python",))
    await engine.start()
    await until(lambda: engine.health().state == "down")
    assert "nonexistent" in engine.health().detail
    await engine.stop()


async def test_without_descriptors_no_child_starts_and_with_some_again_one_does(monkeypatch):
    """The seat must outlive the attempt: nobody else would ever try again."""
    create, tried = BlackBox.create, []

    def exhausted(slots):
        tried.append(slots)
        if len(tried) < 3:
            raise OSError(errno.EMFILE, "Too many open files")
        return create(slots)

    monkeypatch.setattr(BlackBox, "create", exhausted)
    config = EngineConfig(Description("given", ({"kind": "trivial"},)), device="cpu", standby=False)
    async with running(ChildEngine(config)) as engine:
        assert len(tried) == 3
        assert engine.health().restarts == 2


async def test_what_a_child_writes_to_stderr_reaches_the_log(tmp_path):
    from loguru import logger

    lines = []
    sink = logger.add(lines.append, format="{level} {message}")
    try:
        async with running(make("child", fail=66)) as engine:
            with pytest.raises(Unavailable):
                await engine.submit(ask(66))
            await until(lambda: any("cannot judge request" in line for line in lines))
            await until(lambda: any("this image again" in line for line in lines))
    finally:
        logger.remove(sink)


FRONT = """
import asyncio, json, os, sys, time
from miner.engine import create_engine
from miner.settings import EngineSection, Model
from models.core import Request
from models.imaging.header import Limits

async def main():
    section = EngineSection(standby=False)
    engine = create_engine(section, Model(), "cpu", Limits(10**6, 10**6), tiers=[{"kind": "trivial"}])
    await engine.start()
    while not engine.health().ready:
        await asyncio.sleep(0.02)
    request = Request("a", "us", "them", (bytes.fromhex(sys.argv[1]),), time.monotonic() + 5)
    verdict = await engine.submit(request)
    print(json.dumps([verdict.prediction, engine.health().pid, sorted(sys.modules)]), flush=True)
    if sys.argv[2] == "die":
        os.kill(os.getpid(), 9)
    await engine.stop()

asyncio.run(main())
"""


def front(mode, folder):
    return subprocess.run(
        [sys.executable, "-P", "-c", FRONT, picture().hex(), mode],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        cwd=folder,
        timeout=60,
        text=True,
    )


def test_the_front_never_imports_what_looks_at_pixels():
    done = front("live", ROOT)
    prediction, pid, modules = json.loads(done.stdout)
    assert 0.5 < prediction < 1
    heavy = {
        "torch",
        "transformers",
        "PIL",
        "numpy",
        "safetensors",
        "models.classifier",
        "models.imaging.decode",
    }
    assert heavy.isdisjoint(modules)
    assert gone(pid)


def test_the_child_dies_with_its_parent_wherever_it_was_started_from(tmp_path):
    (tmp_path / "miner.py").write_text("raise SystemExit('the wrong miner')")
    done = front("die", tmp_path)
    _, pid, _ = json.loads(done.stdout)
    assert done.returncode == -signal.SIGKILL
    assert gone(pid)


def gone(pid, tries=200):
    """Whether the process ends soon; nobody but init can wait for it."""
    import time

    for _ in range(tries):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        status = Path(f"/proc/{pid}/stat")
        if status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


async def test_a_process_that_began_early_becomes_the_child_and_no_other_is_made():
    await early.begin(COMMAND, process.environment(0))
    waiting = early._waiting[0].process.pid
    async with running(make("child")) as engine:
        assert engine.health().pid == waiting
        assert (await engine.submit(ask(200))).prediction > 0.5
    assert not early._waiting


async def test_a_process_that_began_early_and_died_is_not_waited_for():
    await early.begin(COMMAND, process.environment(0))
    waiting = early._waiting[0].process
    waiting.kill()
    await waiting.wait()
    async with running(make("child")) as engine:
        assert engine.health().pid not in (None, waiting.pid)


def test_the_command_of_the_tests_is_the_real_child_with_more_tiers():
    assert Path(COMMAND[-1]).read_text().count("child_main.main()") == 1


async def test_a_child_traces_itself_on_demand_and_answers_meanwhile(tmp_path):
    async with running(make("child")) as engine:
        with pytest.raises(ValueError, match="FileNotFoundError"):
            await engine.trace(0.1, tmp_path / "missing" / "trace.json")
        tracing = asyncio.create_task(engine.trace(0.5, tmp_path / "trace.json"))
        answers = [await engine.submit(ask(40 + n, within=20.0)) for n in range(12)]
        await tracing
    assert all(answer.spoken for answer in answers)
    assert "traceEvents" in json.loads((tmp_path / "trace.json").read_text())


async def test_without_a_child_that_judges_there_is_nothing_to_trace(tmp_path):
    with pytest.raises(ValueError, match="no process of this host"):
        await make("child").trace(0.1, tmp_path / "trace.json")

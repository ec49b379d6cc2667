"""Replicas on a real Ray cluster of this machine, asked through the bridge as the front does."""

import asyncio
import os
import signal
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import pytest_asyncio
from engine_helpers import COMMAND as CHILD
from engine_helpers import ask, config_of, until

from miner.engine import ray
from miner.engine.child import ChildEngine
from miner.engine.interface import BadImage, Unavailable

COMMAND = (sys.executable, "-P", str(Path(__file__).with_name("engine_bridge.py")))
NOT_INSTALLED = "RAY IS NOT INSTALLED: the engine on a Ray cluster is NOT TESTED (pip install -e '.[ray]')"
pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason=NOT_INSTALLED),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
]
REPLICAS = 2
MS = 20.0
"""An image takes a replica this long."""
WITHIN_S = 9.0
APP = f"{ray.app_prefix()}{os.getpid()}-1-00000000"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine():
    """Two replicas of the tests' tier, and a child that stands by: all ready."""
    config = config_of(ms=MS, hang=10, stuck_s=2.0, standby=True, heartbeat_s=1.0)
    config = replace(config, cluster=ray.LOCAL, app=APP, replicas=(REPLICAS, REPLICAS))
    engine = ChildEngine(config, command=COMMAND, standby=CHILD, leave_s=ray.LEAVE_S)
    await engine.start()
    await until(lambda: engine.health().ready, within=60)
    assert states(engine) == ["loading", "serving"], "who stands by answers until there are replicas"
    await until(lambda: states(engine) == ["serving", "ready"] or "crash_loop" in states(engine), within=240)
    assert engine.health().ready, engine.health()
    yield engine
    await engine.stop()
    await until(lambda: not running(APP), within=20)


def states(engine):
    return [seat["state"] for seat in engine.health().seats]


def running(word, parent=None):
    """Process ids on this machine whose command line has that word; `parent` only its children."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
            above = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it ended meanwhile
        if word in command and parent in (None, above):
            found.append(int(folder.name))
    return found


async def test_it_answers_from_the_image_and_says_by_which_model(engine):
    request = ask(192, within=WITHIN_S)
    verdict = await engine.submit(request)
    assert verdict.id == request.id
    assert verdict.log_odds == pytest.approx(2.0, abs=0.05)
    assert verdict.versions == engine.health().versions == {"brightness": "b1"}
    assert {"decode", "queue", "brightness", "total"} <= set(verdict.ms)
    assert engine.health().replicas == REPLICAS
    assert engine.health().device == "ray"


async def test_bytes_that_are_no_image_are_the_callers_fault(engine):
    with pytest.raises(BadImage, match="format"):
        await engine.submit(ask(data=b"not an image"))


async def test_at_the_deadline_the_answer_is_that_there_is_none(engine):
    start = time.monotonic()
    with pytest.raises(Unavailable, match="deadline"):
        await engine.submit(ask(10, within=0.5))
    assert time.monotonic() - start < 1.5
    await asyncio.sleep(2.0)  # the replica is free again


async def test_a_question_that_is_withdrawn_is_withdrawn_on_the_cluster(engine):
    hung = asyncio.create_task(engine.submit(ask(10, within=WITHIN_S)))
    await asyncio.sleep(0.2)
    hung.cancel()
    await asyncio.gather(hung, return_exceptions=True)
    assert engine.health().in_flight == 0
    await asyncio.sleep(2.0)


async def test_a_replica_killed_under_load_costs_no_answer(engine):
    """The load is two fifths of what both can do, so four fifths of what the other one can alone."""
    await until(lambda: engine.health().replicas == REPLICAS, within=30)
    late, count = [], 0

    async def challenge(brightness):
        request = ask(brightness, within=WITHIN_S)
        verdict = await engine.submit(request)
        assert verdict.log_odds == pytest.approx((brightness - 128) / 32, abs=0.05)
        if time.monotonic() > request.deadline:
            late.append(request.id)

    async with asyncio.TaskGroup() as group:
        for number in range(100):
            group.create_task(challenge(20 + number % 200))
            count += 1
            if number == 40:
                os.kill(running(f"ray::ServeReplica:{APP}")[0], signal.SIGKILL)
            await asyncio.sleep(MS / 1e3 / REPLICAS / 0.4)
    assert not late
    assert engine.health().shed == 0
    assert states(engine) == ["serving", "ready"], "the bridge goes on"
    assert engine.health().restarts == 0
    await until(lambda: engine.health().replicas == REPLICAS, within=60)


async def test_a_cluster_that_is_gone_costs_no_answer(engine):
    """The child that stands by answers, here on the CPU."""
    engine._seats[0].command = (sys.executable, "-c", "raise SystemExit('there is no cluster')")
    for word in ("gcs_server", "raylet"):
        for pid in running(word, parent=engine.health().pid):
            os.kill(pid, signal.SIGKILL)
    async with asyncio.TaskGroup() as group:
        for number in range(40):
            group.create_task(engine.submit(ask(20 + number, within=WITHIN_S)))
            await asyncio.sleep(0.2)
    await until(lambda: engine.health().device == "cpu")
    assert engine.health().ready
    assert engine.health().state == "degraded"
    assert engine.health().replicas is None

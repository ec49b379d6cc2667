"""Bad hours that a running miner outlives. All faults together, under load: `bench/soak.py`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from neurons_kit import Miner, jpeg, soon

pytestmark = pytest.mark.timeout(240)


async def test_a_front_that_stood_still_goes_on_and_blames_nobody(miner: Miner):
    before = miner.status()["engine"]
    os.kill(miner.pid, signal.SIGSTOP)
    try:
        asked = asyncio.create_task(miner.ask(jpeg(2000)))
        await asyncio.sleep(4.0)  # longer than a child may be silent before another one serves
        assert not asked.done()
    finally:
        os.kill(miner.pid, signal.SIGCONT)
    assert (await asked).outcome == "answered"
    after = miner.status()["engine"]
    assert (after["restarts"], after["pid"]) == (before["restarts"], before["pid"])


@contextlib.contextmanager
def no_descriptors(pid: int) -> Iterator[None]:
    """The process can open nothing: the limit is the lowest number that is free."""
    taken = {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
    free = next(number for number in range(len(taken) + 1) if number not in taken)
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


async def test_without_descriptors_open_connections_are_served_and_new_ones_wait(miner: Miner):
    said = len(miner.said)
    async with miner.dendrite() as open_one:
        assert (await open_one.challenge(jpeg(2010))).outcome == "answered"
        with no_descriptors(miner.pid):
            waiting = asyncio.create_task(miner.ask(jpeg(2011)))
            for number in range(2012, 2016):
                assert (await open_one.challenge(jpeg(number))).outcome == "answered"
            await soon(lambda: "no connection can be accepted" in miner.said[said:], "it says so")
        assert (await waiting).outcome == "answered"
    assert miner.said[said:].count("no connection can be accepted") == 1
    assert "asyncio" not in miner.said[said:], "no storm of complaints"


@contextlib.contextmanager
def unchangeable(folder: Path) -> Iterator[None]:
    """What a read-only disk refuses is refused."""
    paths = [str(folder), *map(str, folder.glob("ledger.sqlite*"))]
    done = subprocess.run(["chattr", "+i", *paths], capture_output=True, text=True, check=False)
    try:
        if done.returncode:
            pytest.skip(f"NOT TESTED, files cannot be made immutable here: {done.stderr.strip()}")
        yield
    finally:
        subprocess.run(["chattr", "-i", *paths], capture_output=True, check=False)


async def test_a_disk_that_became_read_only_stops_no_answer_and_kills_nobody(miner: Miner):
    images = [jpeg(2020 + number) for number in range(6)]

    def waiting() -> float:
        return miner.metric("svm_ledger_waiting_rows") or 0

    with unchangeable(miner.data):
        for image in images[:3]:
            assert (await miner.ask(image)).outcome == "answered"
        await soon(lambda: waiting() >= 3, "the rows wait", lambda: miner.said[-2000:])
        assert miner.command("status")["ready"]
        assert members(miner)["recorder"] == "failing"
        assert members(miner)["engine main"] == "serving"
        for image in images[3:]:
            assert (await miner.ask(image)).outcome == "answered"
    await soon(lambda: not waiting(), "the rows are written")
    await soon(lambda: members(miner)["recorder"] == "ok", "the recorder is well")


def members(miner: Miner) -> dict[str, str]:
    """The state of each part, as anybody may read it."""
    status, text = miner.page("health/members")
    assert status == 200
    return {row["member"]: row["state"] for row in json.loads(text)["members"]}

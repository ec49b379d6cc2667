"""The jobs over a real ledger and a restart, and the commands that reach them."""

from __future__ import annotations

import asyncio

import pytest

from miner.alarms import Alarms
from miner.chain.errors import ChainDown
from miner.chain.snapshot import Snapshot
from miner.chain.watch import ChainWatch
from miner.jobs import Job, JobFailed
from miner.jobs.service import create_jobs
from miner.ledger import Ledger, job_runs, last_job_runs, paused_jobs
from miner.settings import Subtensor


class Source:
    def __init__(self) -> None:
        self.down = False

    async def snapshot(self) -> Snapshot:
        if self.down:
            raise ChainDown("nobody answers")
        return Snapshot(72, 1_000, 360, 0.0, 0.5, "owner", 100, 256, ())

    async def rotate(self) -> None: ...


async def fine(_) -> str:
    return "two\nlines"


async def bad(_) -> str:
    raise JobFailed("no room")


JOBS = [Job("fine", fine, every_s=60), Job("bad", bad, every_s=60)]


class Miner:
    """What of a miner the jobs need; made anew for every start."""

    def __init__(self, folder) -> None:
        self.ledger = Ledger(folder / "ledger.sqlite", hotkey="ours")
        self.source = Source()
        watch = ChainWatch(self.source, "ours", Subtensor())
        self.alarms = Alarms(self.ledger.event)
        self.jobs = create_jobs(JOBS, self.ledger, self.alarms, watch, refresh_s=60, speed=1.0)

    def row(self, name):
        return next(row for row in self.jobs.rows() if row["name"] == name)


@pytest.fixture
def start(tmp_path):
    started = []

    def start() -> Miner:
        for miner in started:
            miner.ledger.close()
        started.append(Miner(tmp_path))
        return started[-1]

    yield start
    started[-1].ledger.close()


async def test_runs_and_pauses_are_in_the_ledger_and_outlive_a_restart(start):
    miner = start()
    assert miner.row("fine")["last"] is None
    await miner.jobs.job_run("fine")
    await miner.jobs.job_run("bad")
    await miner.jobs.job_pause("bad")
    await miner.jobs.job_pause("fine")
    await miner.jobs.job_resume("fine")
    again = start()
    assert again.row("fine")["last"]["detail"] == "two lines"
    assert again.row("bad")["last"]["outcome"] == "failed"
    assert again.row("bad")["paused"] and not again.row("fine")["paused"]
    assert [row["key"] for row in again.alarms.rows()] == ["job bad"], "what failed before still wants a look"
    assert again.row("fine")["next_s"] > again.row("fine")["last"]["at_s"]
    path = again.ledger.path
    assert paused_jobs(path) == {"bad"} and set(last_job_runs(path)) == {"fine", "bad"}
    assert [run["job"] for run in job_runs(path)] == ["bad", "fine"]
    assert [run["trigger"] for run in job_runs(path, job="fine")] == ["manual"]


async def test_a_pause_a_resume_and_a_pause_in_one_breath_end_as_they_should(start):
    miner = start()
    for _ in range(3):
        await miner.jobs.job_pause("fine")
        await miner.jobs.job_resume("fine")
    await miner.jobs.job_pause("fine")
    assert start().row("fine")["paused"]


async def test_the_metagraphs_refresh_is_shown_and_run_like_a_job(start):
    miner = start()
    assert miner.jobs.rows()[0]["name"] == "metagraph" and miner.row("metagraph")["last"] is None
    row = await miner.jobs.job_run("metagraph")
    assert row["last"]["outcome"] == "ok" and "not registered" in row["last"]["detail"]
    miner.source.down = True
    row = await miner.jobs.job_run("metagraph")
    assert row["last"]["outcome"] == "failed" and row["last"]["detail"] == "nobody answers"
    with pytest.raises(ValueError, match="cannot be paused"):
        await miner.jobs.job_pause("metagraph")


async def test_an_unknown_job_is_named_with_those_there_are(start):
    with pytest.raises(ValueError, match="there is bad, fine"):
        await start().jobs.job_run("retrian")


async def test_a_damaged_ledger_does_not_keep_the_jobs_from_running(tmp_path, start):
    miner = start()
    miner.ledger.close()
    miner.ledger.path.write_bytes(b"nothing" * 3000)
    jobs = create_jobs(
        JOBS, miner.ledger, Alarms(miner.ledger.event), ChainWatch(Source(), "ours", Subtensor()),
        refresh_s=60, speed=1.0,
    )  # fmt: skip
    assert (await jobs.job_run("fine"))["last"]["outcome"] == "ok"
    assert await asyncio.wait_for(jobs.jobs(), 1)

"""The jobs by a virtual clock: when they run, and that none can harm another."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobs_kit import START_S, Running, VirtualClock, settle

from miner.jobs import Clock, Context, Job, JobFailed, Scheduler, in_thread
from miner.jobs.timetable import Timetable

HOUR, DAY = 3600.0, 86_400.0


class Work:
    """A job's run that counts, and does what it is told."""

    def __init__(self, *, does=None) -> None:
        self.seen: list[Context] = []
        self._does = does

    async def __call__(self, context: Context) -> str:
        self.seen.append(context)
        if self._does is not None:
            return await self._does()
        return f"run {len(self.seen)}"


def a_run(at_s: float, outcome: str = "ok"):
    return {"at_s": at_s, "trigger": "schedule", "seconds": 1.0, "outcome": outcome, "detail": "done"}


async def test_an_interval_runs_soon_after_the_first_start_and_then_every_interval():
    work = Work()
    async with Running(Job("count", work, every_s=HOUR)) as miner:
        await miner.clock.advance(20)
        assert len(work.seen) == 1
        await miner.clock.advance(DAY)
        assert len(work.seen) == 25
        gaps = {round(b.at_s - a.at_s) for a, b in zip(work.seen, work.seen[1:], strict=False)}
        assert gaps == {3600}
    assert miner.books.outcomes("count") == ["ok"] * 25


async def test_a_restart_does_not_begin_the_interval_anew():
    work = Work()
    job = Job("daily", work, every_s=DAY)
    async with Running(job, last={"daily": a_run(START_S - 20 * HOUR)}) as miner:
        await miner.clock.advance(3.9 * HOUR)
        assert not work.seen
        await miner.clock.advance(0.2 * HOUR)
        assert len(work.seen) == 1


async def test_what_was_missed_while_down_is_made_up_for_once():
    work = Work()
    async with Running(
        Job("nightly", work, cron="0 3 * * *"), last={"nightly": a_run(START_S - 5 * DAY)}
    ) as m:
        await m.clock.advance(60)
        assert len(work.seen) == 1
        await m.clock.advance(DAY)
        assert len(work.seen) == 2


async def test_past_its_grace_a_missed_run_is_left_out_and_said():
    work = Work()
    job = Job("nightly", work, cron="0 3 * * *", grace_s=600)
    async with Running(job, last={"nightly": a_run(START_S - 2 * DAY)}) as miner:
        await miner.clock.advance(60)
        assert not work.seen
        assert miner.books.outcomes("nightly") == ["missed"]
        await miner.clock.advance(DAY)
        assert len(work.seen) == 1


async def test_a_cron_line_without_history_waits_for_its_time():
    work = Work()
    async with Running(Job("weekly", work, cron="30 4 * * sun")) as miner:
        await miner.clock.advance(DAY)
        assert not work.seen
        assert miner.row("weekly")["next_s"] == START_S + 2 * DAY - 3.5 * HOUR
        await miner.clock.advance(DAY)
        assert len(work.seen) == 1


async def test_a_failing_job_is_told_and_the_others_go_on():
    async def fail() -> str:
        raise JobFailed("the disk is full")

    async def explode() -> str:
        raise RuntimeError("a bug")

    good = Work()
    jobs = [Job("bad", Work(does=fail), every_s=HOUR), Job("bug", Work(does=explode), every_s=HOUR)]
    async with Running(*jobs, Job("good", good, every_s=HOUR)) as miner:
        await miner.clock.advance(5.5 * HOUR)
        assert len(good.seen) == 6
        assert miner.books.outcomes("bad") == miner.books.outcomes("bug") == ["failed"] * 6
        assert miner.row("bad")["last"]["detail"] == "the disk is full"
        assert [row["key"] for row in miner.alarms.rows()] == ["job bad", "job bug"]


async def test_the_alarm_of_a_job_ends_with_its_next_success():
    answers = iter([JobFailed("not now"), None])

    async def once() -> str:
        if (error := next(answers)) is not None:
            raise error
        return "fine"

    async with Running(Job("flaky", Work(does=once), every_s=HOUR)) as miner:
        await miner.clock.advance(20)
        assert miner.alarms.rows()
        await miner.clock.advance(HOUR)
        assert not miner.alarms.rows()
    assert [(kind, data["state"]) for kind, data in miner.books.events] == [
        ("alarm", "rings"),
        ("alarm", "over"),
    ]


async def test_a_hanging_job_is_cut_off_and_the_others_go_on():
    async def hang() -> str:
        await asyncio.Event().wait()
        return "never"

    good = Work()
    hanging = Job("hang", Work(does=hang), every_s=HOUR, timeout_s=0.01)
    async with Running(hanging, Job("good", good, every_s=HOUR)) as miner:
        await miner.clock.advance(20)
        while not miner.books.outcomes("hang"):
            await asyncio.sleep(0.01)
        await miner.clock.advance(3 * HOUR)
        assert len(good.seen) == 4
    assert miner.books.outcomes("hang")[0] == "timeout"


async def test_a_run_that_cannot_be_cancelled_is_never_joined_by_a_second(monkeypatch):
    monkeypatch.setattr("miner.jobs.worker.STOP_S", 0.01)
    release = asyncio.Event()

    async def stubborn() -> str:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return "at last"

    work = Work(does=stubborn)
    async with Running(Job("stubborn", work, every_s=HOUR, timeout_s=0.01)) as miner:
        await miner.clock.advance(20)
        while not miner.books.outcomes("stubborn"):
            await asyncio.sleep(0.01)
        await miner.clock.advance(5 * HOUR)
        assert len(work.seen) == 1
        assert miner.row("stubborn")["running"]
        with pytest.raises(ValueError, match="running already"):
            await miner.scheduler.trigger("stubborn")
        release.set()


async def test_a_hanging_thread_harms_neither_the_loop_nor_later_runs():
    release, entered = threading.Event(), threading.Event()

    def block(context: Context) -> str:
        entered.set()
        release.wait(30)
        return "done"

    async with Running(Job("disk", in_thread(block), every_s=HOUR, timeout_s=0.05)) as miner:
        await miner.clock.advance(20)
        await asyncio.to_thread(entered.wait, 10)
        while not miner.books.outcomes("disk"):
            await asyncio.sleep(0.01)
        row = await miner.scheduler.trigger("disk")
        assert row["last"]["outcome"] == "failed" and "still hangs" in row["last"]["detail"]
        release.set()
        while (await miner.scheduler.trigger("disk"))["last"]["outcome"] != "ok":
            await asyncio.sleep(0.01)


async def test_a_job_in_a_thread_hands_on_its_result_and_its_fault():
    def fail(context: Context) -> str:
        raise JobFailed(f"{context.job} cannot")

    jobs = [Job("fine", in_thread(lambda context: context.trigger), every_s=DAY)]
    async with Running(*jobs, Job("bad", in_thread(fail), every_s=DAY)) as miner:
        assert (await miner.scheduler.trigger("fine"))["last"]["detail"] == "manual"
        assert (await miner.scheduler.trigger("bad"))["last"]["detail"] == "bad cannot"


async def test_by_hand_a_job_runs_at_once_and_its_schedule_stays():
    work = Work()
    async with Running(Job("nightly", work, cron="0 3 * * *")) as miner:
        before = miner.row("nightly")["next_s"]
        row = await miner.scheduler.trigger("nightly")
        assert row["last"]["outcome"] == "ok" and row["last"]["trigger"] == "manual"
        assert miner.row("nightly")["next_s"] == before
        with pytest.raises(ValueError, match="no job 'never'; there is nightly"):
            await miner.scheduler.trigger("never")


async def test_without_a_schedule_a_job_runs_by_hand_only():
    work = Work()
    async with Running(Job("full", work)) as miner:
        assert (miner.row("full")["when"], miner.row("full")["next_s"]) == ("by hand", None)
        await miner.clock.advance(DAY)
        assert not work.seen
        assert (await miner.scheduler.trigger("full"))["last"]["outcome"] == "ok"
        miner.scheduler.pause("full")
        miner.scheduler.resume("full")
        await miner.clock.advance(DAY)
        assert len(work.seen) == 1


async def test_of_two_who_run_a_job_by_hand_at_once_one_is_told_no():
    work = Work()
    async with Running(Job("nightly", work, cron="0 3 * * *")) as miner:
        both = (miner.scheduler.trigger("nightly"), miner.scheduler.trigger("nightly"))
        answers = await asyncio.gather(*both, return_exceptions=True)
    assert len(work.seen) == 1
    assert [type(answer) for answer in answers] == [dict, ValueError]


async def test_a_long_run_by_hand_is_answered_before_it_ends():
    release = asyncio.Event()

    async def long() -> str:
        await release.wait()
        return "done"

    async with Running(Job("long", Work(does=long), every_s=DAY), last={"long": a_run(START_S)}) as miner:
        row = await miner.scheduler.trigger("long", wait_s=0.01)
        assert row["running"]
        release.set()
        await settle()
        assert not miner.row("long")["running"]


async def test_a_paused_job_passes_its_times_by_and_goes_on_after():
    work = Work()
    async with Running(Job("hourly", work, every_s=HOUR), last={"hourly": a_run(START_S)}) as miner:
        assert miner.scheduler.pause("hourly")["next_s"] is None
        await miner.clock.advance(10.5 * HOUR)
        assert not work.seen
        assert miner.scheduler.resume("hourly")["next_s"] > miner.clock.now()
        await miner.clock.advance(HOUR)
        assert len(work.seen) == 1
    assert miner.books.pauses == [("hourly", True), ("hourly", False)]


async def test_a_pause_outlives_a_restart():
    work = Work()
    async with Running(Job("hourly", work, every_s=HOUR), paused=["hourly"]) as miner:
        await miner.clock.advance(5 * HOUR)
        assert not work.seen and miner.row("hourly")["paused"]


async def test_jitter_spreads_and_never_runs_early():
    work = Work()
    async with Running(Job("spread", work, every_s=HOUR, jitter_s=600)) as miner:
        await miner.clock.advance(3 * DAY)
    gaps = [b.at_s - a.at_s for a, b in zip(work.seen, work.seen[1:], strict=False)]
    assert all(HOUR <= gap <= HOUR + 600 for gap in gaps) and len(set(gaps)) > 10


async def test_a_clock_that_jumps_ahead_is_noticed_within_a_minute():
    clock, work = VirtualClock(), Work()
    async with Running(Job("daily", work, every_s=DAY), clock=clock, last={"daily": a_run(START_S)}):
        await clock.advance(120)
        clock.at += 2 * DAY  # the machine slept
        await clock.advance(60)
        assert len(work.seen) == 1


async def test_a_clock_that_is_set_back_keeps_no_job_waiting_for_the_time_it_had_shown():
    clock, work = VirtualClock(), Work()
    async with Running(Job("hourly", work, every_s=HOUR), clock=clock, last={"hourly": a_run(START_S)}):
        await clock.advance(120)
        clock.step(12 * HOUR)
        await clock.advance(120)
        runs = len(work.seen)
        clock.step(-12 * HOUR)
        await clock.advance(HOUR + 120)
        assert len(work.seen) > runs


async def test_the_end_of_the_miner_cancels_what_runs():
    ended = asyncio.Event()

    async def hang() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    async with Running(Job("hang", Work(does=hang), every_s=HOUR)) as miner:
        await miner.clock.advance(20)
    assert ended.is_set()


@given(st.floats(0, 400 * DAY), st.floats(0, 400 * DAY), st.booleans())
def test_a_job_is_due_after_its_last_run_and_by_its_next_time(last, now, by_cron):
    schedule = {"cron": "15 4 * * *"} if by_cron else {"every_s": DAY}
    last, now = START_S + last, START_S + now
    due = Timetable(Job("any", Work(), **schedule)).due(last, now)
    before = min(last, now)
    assert before < due <= before + DAY + 1


@pytest.mark.parametrize(
    "wrong",
    [{"every_s": 1, "cron": "* * * * *"}, {"every_s": 0}, {"every_s": 5, "timeout_s": 0}],
)
def test_what_is_no_schedule_is_refused(wrong):
    with pytest.raises(ValueError):
        Job("any", Work(), **wrong)


def test_a_wrong_cron_line_or_name_is_refused():
    with pytest.raises(ValueError):
        Timetable(Job("any", Work(), cron="every day"))
    with pytest.raises(ValueError):
        Job("No Name", Work(), every_s=1)
    with pytest.raises(ValueError, match="one name"):
        job = Job("twice", Work(), every_s=1)
        Scheduler([job, job], None, None, VirtualClock())


async def test_a_fast_clock_begins_with_the_wall_clock_and_runs_ahead():
    wall, slept = [1000.0], []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    clock = Clock(speed=100, wall=lambda: wall[0], sleep=sleep)
    assert clock.now() == 1000
    wall[0] += 3
    assert clock.now() == 1300
    await clock.sleep(50)
    assert slept == [0.5]
